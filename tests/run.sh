#!/usr/bin/env bash
# Sets up a control plane, helm, the container image and servers that hold secrets, builds and runs every test, and ends with the closing lines of the
# test runner.
#
# Where one of them cannot be had, the tests that need it are skipped and named; with CI=true that is a failure. Tests of
# generated keys also call openssl (Debian's package openssl) and gpg (gnupg), and are skipped alike.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly which=(--locked --all-features --tests)

say() { printf '%s\n' "$*" >&2; }

# Builds what tests/$1/build.sh builds; $2 is its name.
set_up() {
  local directory
  if directory=$("tests/$1/build.sh"); then
    say "$2: $directory"
  elif [[ ${CI:-} == true ]]; then
    say "make test: with CI=true the tests that need a $2 must run; see above for what it needs"
    exit 1
  else
    say "make test: going on without a $2; the tests that need one are skipped and named"
  fi
}

# From the log $1: the figures that tests got, what no real server answered, the closing line of each target, and the
# names of the tests that were skipped.
closing_lines() {
  awk '
    /(^|\.\.\. )measured [^(]/ && !/^test result/ { sub(/.*measured /, ""); print }
    /(^|\.\.\. )simulated: / { sub(/.*simulated: /, "simulated: "); print }
    /^ +Running / { target = $2 == "unittests" ? $3 : $2 }
    /^test result: / { printf "%-28s %s\n", target, $0; for (i = 1; i < NF; i++) { n = $i; count[$(i + 1)] += n } }
    /skipped \(no [a-z ]+\): / { skipped++; sub(/.*skipped /, ""); names = names "\n  " $0 }
    END {
      printf "%d passed, %d failed, %d ignored\n", count["passed;"], count["failed;"], count["ignored;"]
      if (skipped) printf "%d of the passed ones were skipped:%s\n", skipped, names
    }
  ' "$1"
}

main() {
  local log status=0
  set_up control-plane "control plane"
  set_up helm helm
  set_up hclfmt "formatter of HCL"
  set_up image "container image"
  set_up moto moto
  set_up drongo drongo
  set_up vault vault
  # By itself, so that a terminal shows its progress.
  cargo test "${which[@]}" --no-run
  log=$(mktemp)
  # shellcheck disable=SC2064 # the path as it is now
  trap "rm -f '$log'" EXIT
  cargo test "${which[@]}" --no-fail-fast 2>&1 </dev/null | tee "$log" || status=$?
  printf '\n'
  closing_lines "$log"
  return "$status"
}

main "$@"
