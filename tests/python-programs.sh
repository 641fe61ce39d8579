# Installs a program from PyPI with all that it needs, once, into the cache. Sourced by the `build.sh` beside each
# requirements.txt that pins one.
#
# shellcheck shell=bash
set -euo pipefail

# What the one that sources it sets:
#   here            its directory, with requirements.txt: every package with its version and its hashes
#   module          the Python module that is started
#
# It then calls `build_once KIND VERSIONS` (build-once.sh). The program is started as `DIRECTORY/bin/python -m MODULE`;
# scripts in bin/ name the directory where they were installed and not the one where they are.

# shellcheck source=build-once.sh
source "$(dirname "${BASH_SOURCE[0]}")/build-once.sh"

# Whether directory $1 has what requirements.txt pins, for the Python that is here now.
complete() {
  cmp --quiet "$here/requirements.txt" "$1/requirements.txt" && "$1/bin/python" -c "import $module" 2>/dev/null
}

tools() {
  python3 -c 'import ensurepip, venv' 2>/dev/null \
    || die "needs Python 3 with venv (Debian: apt-get install python3 python3-venv) to install $module"
}

build() {
  local target=$1
  say "installing $module"
  python3 -m venv "$target"
  "$target/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement "$here/requirements.txt" >&2 || die "$module was not installed"
  # Nothing is installed into it again.
  "$target/bin/python" -m pip uninstall --quiet --yes setuptools pip >&2
  cp "$here/requirements.txt" "$target"
}

# The version of package $1 in requirements.txt.
pinned() {
  sed -n "s/^$1==\([^ ]*\).*/\1/p" "$here/requirements.txt"
}
