#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kubectl, at the versions that go.mod pins, for the tests and the demo.
#
# The programs go to ${KEYSTOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystow}/control-plane/kubernetes-V-etcd-V/,
# whose path is the last line on stdout; progress goes to stderr. What is there already is not built again, and
# nothing is built where KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin has the programs.
#
# A directory of that name is always whole: the build happens beside it and is renamed at the end. Two builds at
# once take turns, and the second finds the work done.
set -euo pipefail

readonly programs=(etcd kube-apiserver kubectl)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }

# Whether directory $1 has all the programs.
complete() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $1/$program ]] || return 1
  done
}

# The version of module $1 in go.mod, without the v.
pinned() {
  awk -v module="$1" '$1 == module && $2 ~ /^v/ { print substr($2, 2); exit }' "$here/go.mod"
}

# The package of program $1.
package() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

# Flags for the linker: no symbol tables, and the version that Kubernetes' own build would have set.
linker_flags() {
  local version=$1 major minor variable prefix
  IFS=. read -r major minor _ <<<"$version"
  printf '%s' "-s -w"
  for prefix in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for variable in "gitVersion=v$version" "gitMajor=$major" "gitMinor=$minor" gitTreeState=clean; do
      printf ' -X %s.%s' "$prefix" "$variable"
    done
  done
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
  flags=$(linker_flags "$(pinned k8s.io/kubernetes)")
  for program in "${programs[@]}"; do
    number=$((number + 1))
    say "building $program ($number of ${#programs[@]})"
    (cd "$here" && CGO_ENABLED=0 GOWORK=off go build -v -mod=readonly -trimpath -buildvcs=false \
      -ldflags "$flags" -o "$target/$program" "$(package "$program")") 2>&1 9>&- | progress "$program" \
      || die "$program did not build"
  done
}

main() {
  local candidate versions cache ready staging
  if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
    complete "$KUBEBUILDER_ASSETS" || die "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which lacks one of: ${programs[*]}"
    echo "$KUBEBUILDER_ASSETS"
    return
  fi
  candidate=/usr/local/kubebuilder/bin
  if complete "$candidate"; then
    echo "$candidate"
    return
  fi

  versions=kubernetes-$(pinned k8s.io/kubernetes)-etcd-$(pinned go.etcd.io/etcd/server/v3)
  cache=${KEYSTOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystow}/control-plane
  ready=$cache/$versions
  if complete "$ready"; then
    echo "$ready"
    return
  fi

  command -v go >/dev/null || die "needs Go $(awk '$1 == "go" { print $2 }' "$here/go.mod") or later (https://go.dev/dl), or" \
    "KUBEBUILDER_ASSETS set to a directory with: ${programs[*]}"
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
    say "into $ready (only once; minutes of compiling, and about 3 GB in Go's own caches)"
    build "$staging"
    chmod 755 "$staging"
    rm -rf "$ready"
    mv "$staging" "$ready"
  fi
  echo "$ready"
}

main "$@"
