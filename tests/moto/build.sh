#!/usr/bin/env bash
# Installs moto, at the version that requirements.txt pins, for the tests of the stores in AWS.
#
# The path of its directory is the last line on stdout: moto/moto-V/ in the cache (../build-once.sh), which is filled where
# it is not there. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=moto
# shellcheck source=../python-programs.sh
source "$here/../python-programs.sh"

build_once moto "moto-$(pinned moto)"
