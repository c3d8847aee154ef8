#!/usr/bin/env bash
# Make or refresh the environment .venv in this checkout; quick when nothing changed. Prints nothing
# but what it does. PYTHON chooses the interpreter, TORCH the torch to install, VENV another folder,
# EXTRAS other extras than those of the tests, and BESIDE an environment of this checkout that has most
# of it already: its files are linked, so that torch's gigabytes are on the disk once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
TORCH=${TORCH:-"torch==2.14.1 torchvision==0.29.1"}
VENV=${VENV:-.venv}
EXTRAS=${EXTRAS:-test}
stamp=$VENV/mmcskd.stamp
wanted=$({ echo "$TORCH" "$PWD" "$EXTRAS"; "$PYTHON" --version; cat setup.py tools/setup_env.sh; } | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
echo "Setting up $VENV (a few minutes the first time) …"
has_pip() { "$VENV/bin/python" -m pip --version; }
linked() { # whole or not at all: what is cut short, or is another Python's, has no pip
    rm -rf "$VENV" "$VENV.lib"
    cp -al "$1/lib" "$VENV.lib" && "$PYTHON" -m venv --without-pip "$VENV" && rm -r "$VENV/lib" \
        && mv "$VENV.lib" "$VENV/lib" && has_pip
}
if ! has_pip > /dev/null 2>&1; then
    { [ -n "${BESIDE:-}" ] && linked "$BESIDE" > /dev/null 2>&1; } || "$PYTHON" -m venv --clear "$VENV"
fi
pip() { "$VENV/bin/python" -m pip --quiet --disable-pip-version-check "$@" 2> >(grep -v '^WARNING: Location' >&2); }
pip install 'setuptools<81' wheel
# torch and torchvision together, so that their builds match; named again, so that nothing replaces
# them, or the NumPy that goes with them.
# shellcheck disable=SC2086
pip install $TORCH
# shellcheck disable=SC2086
pip install --no-build-isolation $TORCH -e ".[$EXTRAS]"
"$VENV/bin/python" -W ignore -c 'import mmcskd; print("mmcskd", mmcskd.__version__, "is ready.")'
echo "$wanted" > "$stamp"
