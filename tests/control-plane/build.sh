#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kubectl, at the versions that go.mod pins, for the tests and the demo.
#
# The path of their directory is the last line on stdout: KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin where they have
# the programs, else control-plane/kubernetes-V-etcd-V/ in the cache (../go-programs.sh), which is filled where it is not
# there; that takes minutes, and about 3 GB in Go's own caches. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(etcd kube-apiserver kubectl)
# shellcheck source=../go-programs.sh
source "$here/../go-programs.sh"

package() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

# The version that Kubernetes' own build would have set.
linker_flags() {
  local version major minor variable prefix
  version=$(pinned k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"$version"
  for prefix in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for variable in "gitVersion=v$version" "gitMajor=$major" "gitMinor=$minor" gitTreeState=clean; do
      printf ' -X %s.%s' "$prefix" "$variable"
    done
  done
}

main() {
  local directory=/usr/local/kubebuilder/bin
  if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
    complete "$KUBEBUILDER_ASSETS" || die "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which lacks one of: ${programs[*]}"
    echo "$KUBEBUILDER_ASSETS"
  elif complete "$directory"; then
    echo "$directory"
  else
    build_once control-plane "kubernetes-$(pinned k8s.io/kubernetes)-etcd-$(pinned go.etcd.io/etcd/server/v3)"
  fi
}

main "$@"
