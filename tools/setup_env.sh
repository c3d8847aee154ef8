#!/usr/bin/env bash
# Make or refresh the environment .venv in this checkout; quick when nothing changed. Prints nothing
# but what it does.
#
#   PYTHON   the interpreter to make it from; default: python3
#   TORCH    the torch to install; default: the newest that was tested
#   STACK    openmmlab, or onedl for OneDL's packages in .venv-onedl; default: openmmlab
#   VENV     another folder
#   EXTRAS   extras of pyproject.toml beside the stack; default: test
#   BESIDE   an environment of this checkout that has most of it: its files are linked, so that
#            torch's gigabytes are on the disk once
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
TORCH=${TORCH:-"torch==2.14.1 torchvision==0.29.1"}
STACK=${STACK:-openmmlab}
case $STACK in
    openmmlab) VENV=${VENV:-.venv} build=(--no-build-isolation) ;;
    # pip builds onedl-mmcv where it sees no torch: without ops, in seconds.
    onedl) VENV=${VENV:-.venv-onedl} build=() ;;
    *) echo "setup_env.sh: STACK=\"$STACK\", expected openmmlab or onedl." >&2; exit 1 ;;
esac
EXTRAS=${EXTRAS:-test}

# One line for each set of extras that was installed from the same state.
stamp=$VENV/mmcskd.stamp
state=$({ echo "$TORCH" "$STACK" "$PWD"; "$PYTHON" --version; cat setup.py pyproject.toml tools/setup_env.sh; } | cksum)
if grep -sqxF "$state $EXTRAS" "$stamp"; then
    exit 0
fi

echo "Setting up $VENV with $EXTRAS (a few minutes the first time) …"
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
has() { "$VENV/bin/python" -c "from importlib.metadata import version; version('$1')" 2> /dev/null; }

pip install 'setuptools>=77,<81' wheel
# torch and torchvision together, so that their builds match; named again, so that nothing replaces
# them, or the NumPy that goes with them.
# shellcheck disable=SC2086
pip install $TORCH
stack=$STACK
if [ "$STACK" = onedl ]; then
    # What was linked of the other stack fills the same folders.
    for name in mmengine mmcv mmcv-lite mmpretrain mmdet mmsegmentation; do
        if has "$name"; then pip uninstall -y "$name"; fi
    done
elif has mmcv; then # with its ops, from tools/install_mmcv.sh; mmcv-lite would overwrite it
    stack=openmmlab-without-mmcv
fi
# shellcheck disable=SC2086
pip install ${build[@]+"${build[@]}"} $TORCH -e ".[$stack,$EXTRAS]"
"$VENV/bin/python" -W ignore -c 'import mmcskd; print("mmcskd", mmcskd.__version__, "is ready.")'

earlier=$(grep -sF "$state " "$stamp" || true)
printf '%s\n' ${earlier:+"$earlier"} "$state $EXTRAS" > "$stamp"
