#!/usr/bin/env bash
# Builds the container image for its tests, by the Dockerfile and without pulling anything: the program is compiled here,
# with the features and flags that the Dockerfile names, and takes the place of the stage that would compile it.
#
# The path of an OCI layout is the last line on stdout: image/ in Cargo's target directory. Compiling takes minutes, since
# the whole program is optimised at once; without a change it takes none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly bundle=/etc/ssl/certs/ca-certificates.crt

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }

command -v buildah >/dev/null || die "needs buildah to build the container image (Debian: apt-get install buildah)"
[[ -s $bundle ]] || die "needs $bundle (Debian: apt-get install ca-certificates)"

# The value that the Dockerfile gives to $1.
dockerfile() {
  local value
  value=$(sed -n "s/^\(ARG\|ENV\) \(.* \)\?$1=\"\?\([^\"]*\)\"\?\$/\3/p" Dockerfile)
  [[ -n $value ]] || die "the Dockerfile gives no value to $1; mend it, or the expression in this script"
  printf '%s' "$value"
}

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
features=$(dockerfile FEATURES)
flags=$(dockerfile RUSTFLAGS)
host=$(rustc --print host-tuple)

say "compiling the program of the container image: $features, $flags"
# shellcheck disable=SC2086 # features are words
CARGO_TARGET_DIR=$target RUSTFLAGS=$flags \
  cargo build --locked --release $features --target "$host" --bin keystow >&2

# Cargo's list of what the program is made of. The Dockerfile copies src, and of the rest nothing that is compiled.
root=$(pwd -P)
outside=$(sed 's/^[^:]*: //' "$target/$host/release/keystow.d" | tr ' ' '\n' | { grep "^$root/" || true; } \
  | { grep -v "^$root/src/" || true; } | tr '\n' ' ')
[[ -z $outside ]] || die "the build in the image would not find these; copy them in the Dockerfile: $outside"

mkdir -p "$target/image"
scratch=$(mktemp -d "$target/image/.building-XXXXXX")
# shellcheck disable=SC2064 # the path as it is now
trap "rm -rf '$scratch'" EXIT

# What the Dockerfile copies from its first stage.
install -D -m 644 "$bundle" "$scratch/build$bundle"
install -m 755 "$target/$host/release/keystow" "$scratch/build/keystow"

# With a store of its own, so that nobody's images are touched; vfs and chroot need no more from the kernel than root has.
with_store() { buildah --root "$scratch/store" --runroot "$scratch/run" --storage-driver vfs "$@"; }
with_store build --isolation chroot --pull-never --layers --build-context "build=$scratch/build" --tag keystow . >&2 \
  || die "buildah did not build the image"
with_store push --quiet keystow "oci:$scratch/oci:keystow" >&2 || die "buildah did not write the image"

rm -rf "$target/image/oci"
mv "$scratch/oci" "$target/image/oci"
say "container image: $(du --apparent-size --bytes --summarize "$target/image/oci" | cut -f 1) bytes to pull"
echo "$target/image/oci"
