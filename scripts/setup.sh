#!/bin/sh
# Makes .venv: what `make setup` runs, and every other target before its own work.
#
# Belongs here: choosing a Python, the virtual environment, installing the pinned packages. Does not belong
# here: anything that the project does once it is installed.
#
# It may be called any number of times and by two makes at once. The stamp .venv/.installed holds what the
# environment was made from (the two files, this script, the folder), so a pull, a checkout or a moved clone is
# noticed by content and not by file times.
set -eu

say() { printf '%s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Physical, because scripts in .venv/bin carry this path in their first line.
here=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$here"
venv_python=.venv/bin/python
stamp=.venv/.installed
unfinished=.venv/.installing
log=.venv/setup.log

fingerprint() { printf '%s %s\n' "$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)" "$here"; }

up_to_date() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ] && "$venv_python" -c '' 2>/dev/null
}

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        supported "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 that starts. Name another, or leave PYTHON unset."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        # Not only "is it on the path": a version manager's stand-in may be there and refuse to start.
        if supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null || true)
    die "needs Python 3.11, 3.12 or 3.13; found ${found:-no python3}. Install one of them, or name it: make setup PYTHON=/path/to/python3.12"
}

# A virtual environment is trusted only if the last installation into it ended, its Python still starts and is
# a supported one, and its scripts point into this folder (a copied clone would go on using the old one).
trusted_venv() {
    [ ! -e "$unfinished" ] && supported "$venv_python" && grep -qF "$here/$venv_python" .venv/bin/pip 2>/dev/null
}

install() {
    started=$(date +%s)
    [ -w . ] || die "this user may not write in $here, and .venv has to be made there. Run make setup as the owner of the clone, or clone into a folder of your own. Once it is set up, others can use it with FM_HOME set to a folder of their own."
    if ! trusted_venv; then
        say "Making .venv with $("$python" --version) ($python)"
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            die "$python has no venv module. On Debian or Ubuntu: apt-get install python3-venv; elsewhere use a complete Python."
        # bin/pip first: without it nothing trusts what a killed removal leaves behind.
        rm -f .venv/bin/pip
        rm -rf .venv
        mkdir .venv
        : >"$unfinished"
        "$python" -m venv .venv
    fi
    : >"$unfinished"
    rm -f "$stamp" "$log"
    say "Installing the packages of constraints.txt into .venv (about a minute; more on a slow line) ..."
    # pip itself first, because the one that old Pythons bring takes twice as long; and setuptools, so that our
    # own package is built with the pinned one. Nothing is compiled ahead: half of the modules are never
    # imported, and the others compile when they first are.
    pip pip setuptools
    pip --no-build-isolation --editable '.[dev,docs]'
    fingerprint >"$stamp"
    rm -f "$unfinished"
    say "Set up in $(($(date +%s) - started)) s."
}

pip() {
    "$venv_python" -m pip install -q --disable-pip-version-check --no-compile --constraint constraints.txt "$@" >>"$log" 2>&1 ||
        { grep -v '^WARNING' "$log" | tail -n 20 >&2
          die "pip could not install the packages; its last words are above, all of them in $log. Check the network and the package index that pip is set to, then try again."; }
}

if [ "${1:-}" != --locked ]; then
    if up_to_date; then
        exit 0
    fi
    python=$(choose_python)
    # The lock is on the folder itself, so no file is left behind and a killed make releases it. Python takes
    # it because flock(1) is not everywhere. Where the file system knows no locks, we go on without.
    exec "$python" -c '
import fcntl, os, sys
folder = os.open(".", os.O_RDONLY)
try:
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Another make is setting up this folder; waiting for it ...", flush=True)
    fcntl.flock(folder, fcntl.LOCK_EX)
except OSError:
    pass
os.set_inheritable(folder, True)
os.execv("/bin/sh", ["sh", "scripts/setup.sh", "--locked", sys.argv[1]])
' "$python"
fi

python=$2
# The other make may have done it while this one waited.
up_to_date || install
