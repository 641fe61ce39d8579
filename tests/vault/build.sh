#!/usr/bin/env bash
# Builds Vault and its plugin for the Kubernetes auth method, at the versions that go.mod pins, for the tests of the store.
#
# The path of their directory is the last line on stdout: vault/vault-V-kubernetes-V/ in the cache (../build-once.sh), which
# is filled where it is not there. Progress goes to stderr. A vault on the PATH is not used: what is tested would differ
# from machine to machine.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Vault takes each file of a directory for a plugin, so they have one of their own; each is called what its file is.
programs=(vault plugins/kubernetes)
# Without the plugins for databases and clouds, which are most of it, and without the UI.
tags=minimal
# shellcheck source=../go-programs.sh
source "$here/../go-programs.sh"

package() {
  case $1 in
    vault) echo github.com/hashicorp/vault ;;
    *) echo github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes ;;
  esac
}

linker_flags() { :; }

kubernetes=github.com/hashicorp/vault-plugin-auth-kubernetes
build_once vault "vault-$(pinned github.com/hashicorp/vault)-kubernetes-$(pinned "$kubernetes")"
