#!/usr/bin/env bash
# Builds helm, at the version that go.mod pins, for the tests of the chart.
#
# The path of its directory is the last line on stdout: helm/helm-V/ in the cache (../go-programs.sh), which is filled
# where it is not there. A helm on the PATH is not used: what is tested would differ from machine to machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(helm)
# shellcheck source=../go-programs.sh
source "$here/../go-programs.sh"

package() { echo "helm.sh/helm/v3/cmd/$1"; }

# The versions that Helm's own build would have set: its own, and that of the Kubernetes whose client it has, which it
# renders charts for where no cluster is asked.
linker_flags() {
  local minor package
  printf ' -X helm.sh/helm/v3/internal/version.version=v%s' "$(pinned helm.sh/helm/v3)"
  IFS=. read -r _ minor _ <<<"$(pinned k8s.io/client-go)"
  for package in lint/rules chartutil; do
    printf ' -X helm.sh/helm/v3/pkg/%s.k8sVersionMajor=1' "$package"
    printf ' -X helm.sh/helm/v3/pkg/%s.k8sVersionMinor=%s' "$package" "$minor"
  done
}

build_once helm "helm-$(pinned helm.sh/helm/v3)"
