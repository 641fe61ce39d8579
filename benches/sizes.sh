#!/usr/bin/env bash
# Builds the release binary with each store alone, with none, and with everything, and prints the size of each as a table
# for RESULTS.md. Takes minutes a row: each is linked as a whole.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly rows=("" kubernetes vault dynamodb secretsmanager ssm aws gcp azure gpg otel)
# Beside the usual one, so that a build for use is not replaced by one that lacks stores.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sizes

# The bytes of the binary that cargo builds with the flags $@.
size() {
  cargo build --quiet --locked --release --bin keystow "$@"
  stat --format=%s "$CARGO_TARGET_DIR/release/keystow"
}

# One row: the name $1, the bytes $2.
row() {
  awk -v name="$1" -v bytes="$2" -v least="$least" \
    'BEGIN { printf "| %s | %.1f MB | +%.1f MB |\n", name, bytes / 1e6, (bytes - least) / 1e6 }'
}

main() {
  local feature bytes
  printf '| features | binary | beside none |\n|---|---|---|\n'
  for feature in "${rows[@]}"; do
    bytes=$(size --no-default-features --features "$feature")
    least=${least:-$bytes}
    row "${feature:-none, only local}" "$bytes"
  done
  row all "$(size --all-features)"
}

main "$@"
