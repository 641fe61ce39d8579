#!/usr/bin/env bash
# Builds hclfmt, at the version of HCL that go.mod pins, for the tests of exported policies: `terraform fmt` formats by the
# same library.
#
# The path of its directory is the last line on stdout: hclfmt/hcl-V/ in the cache (../go-programs.sh), which is filled
# where it is not there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(hclfmt)
# shellcheck source=../go-programs.sh
source "$here/../go-programs.sh"

package() { echo "github.com/hashicorp/hcl/v2/cmd/$1"; }

linker_flags() { :; }

build_once hclfmt "hcl-$(pinned github.com/hashicorp/hcl/v2)"
