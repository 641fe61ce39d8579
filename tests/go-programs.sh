# Builds programs from their Go modules, once, into the cache. Sourced by the `build.sh` beside each go.mod that pins some.
#
# shellcheck shell=bash
set -euo pipefail

# What the one that sources it sets:
#   here            its directory, with go.mod and go.sum
#   programs        the names of the programs, which may be in a subdirectory
#   tags            build tags, if any
#   package NAME    prints the Go package of a program
#   linker_flags    prints further flags for the linker
#
# It then calls `build_once KIND VERSIONS` (build-once.sh).

# shellcheck source=build-once.sh
source "$(dirname "${BASH_SOURCE[0]}")/build-once.sh"

# Whether directory $1 has all the programs.
complete() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $1/$program ]] || return 1
  done
}

tools() {
  command -v go >/dev/null || die "needs Go $(awk '$1 == "go" { print $2 }' "$here/go.mod") or later (https://go.dev/dl)" \
    "to build: ${programs[*]}"
}

# The version of module $1 in go.mod, without the v.
pinned() {
  awk -v module="$1" '$1 == module && $2 ~ /^v/ { print substr($2, 2); exit }' "$here/go.mod"
}

# Turns `go build -v` (a line for each package) on stdin into progress: in place on a terminal, else now and then.
progress() {
  local label=$1 packages=0 shown=$SECONDS line
  while IFS= read -r line; do
    if [[ $line =~ ^[[:alnum:]_./~-]+$ ]]; then
      packages=$((packages + 1))
      if [[ -t 2 ]]; then
        printf '\r%s: %d packages compiled, %d s' "$label" "$packages" "$SECONDS" >&2
      elif ((SECONDS - shown >= 20)); then
        say "$label: $packages packages compiled, $SECONDS s"
        shown=$SECONDS
      fi
    else
      say "$line"
    fi
  done
  [[ ! -t 2 ]] || printf '\r' >&2
  say "$label: done, $packages packages compiled, $SECONDS s in all"
}

# Builds every program into directory $1.
build() {
  local target=$1 flags program number=0
  flags="-s -w $(linker_flags)"
  for program in "${programs[@]}"; do
    number=$((number + 1))
    say "building $program ($number of ${#programs[@]}; minutes of compiling)"
    mkdir -p "$(dirname "$target/$program")"
    (cd "$here" && CGO_ENABLED=0 GOWORK=off go build -v -mod=readonly -trimpath -buildvcs=false \
      -tags "${tags:-}" -ldflags "$flags" -o "$target/$program" "$(package "$program")") 2>&1 9>&- | progress "$program" \
      || die "$program did not build"
  done
}
