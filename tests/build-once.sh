# Builds what the tests need, once, into the cache. Sourced by the scripts that know how: `go-programs.sh`, `python-programs.sh`.
#
# shellcheck shell=bash
set -euo pipefail

# What the one that sources it defines:
#   complete DIR    whether a directory has all that is to be built
#   tools           dies where a tool is missing that building needs
#   build DIR       builds into an empty directory
#
# It then calls `build_once KIND VERSIONS`, which prints ${KEYSTOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystow}/KIND/VERSIONS,
# a directory that is complete. Progress goes to stderr. One that is complete needs no tool and no network.
#
# A directory of that name is always whole: the build happens beside it and is renamed at the end. Two builds at
# once take turns, and the second finds the work done.

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }

# Prints the directory $1/$2 of the cache; builds into it where it is not complete.
build_once() {
  local cache ready staging
  cache=${KEYSTOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystow}/$1
  ready=$cache/$2
  if complete "$ready"; then
    echo "$ready"
    return
  fi
  tools
  command -v flock >/dev/null || die "needs flock (package util-linux)"
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  if ! flock --nonblock 9; then
    say "another build is at work; waiting for it"
    flock 9
  fi
  if ! complete "$ready"; then
    # The lock is ours, so whatever lies here was left by a build that was killed.
    rm -rf "$cache"/.building-*
    staging=$(mktemp -d "$cache/.building-XXXXXX")
    # shellcheck disable=SC2064 # the path as it is now
    trap "rm -rf '$staging'" EXIT
    say "into $ready (only once)"
    build "$staging"
    chmod 755 "$staging"
    rm -rf "$ready"
    mv "$staging" "$ready"
  fi
  echo "$ready"
}
