#!/usr/bin/env bash
# Installs drongo, at the version that requirements.txt pins, for the tests of the store in Google Cloud.
#
# The path of its directory is the last line on stdout: drongo/drongo-V/ in the cache (../build-once.sh), which is filled where
# it is not there. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=drongo
# shellcheck source=../python-programs.sh
source "$here/../python-programs.sh"

build_once drongo "drongo-$(pinned drongo)"
