#!/usr/bin/env bash
# Install mmcv with its ops, which detection and segmentation need, for the torch installed: onedl-mmcv
# where OneDL's packages are, else mmcv 2.1.0.
#
# A wheel that OneDL or OpenMMLab built for this torch and CUDA is taken if its ops work. Else it is
# built from its source distribution, 13 minutes on 2 cores, for the GPU where torch sees one, else
# for the CPU. The wheel is kept in ${XDG_CACHE_HOME:-~/.cache}/mmcskd, so the next environment with
# the same Python, torch and CUDA takes seconds, and one that has it, none. What was there without
# ops is replaced once the wheel is there.
#
#   PYTHON                the environment's interpreter; default: python
#   MMCV_INDEX            page or folder with wheels for this torch and CUDA, as pip's --find-links
#                         takes it; "": build; default: the stack's own
#   FORCE_CUDA            1: build for CUDA where no GPU is seen; 0: for the CPU where one is
#   TORCH_CUDA_ARCH_LIST  GPU generations to build for, as "8.0;9.0"; default: those seen
#   MAX_JOBS              compilers at a time; default: the cores, with 2 GB of memory each
set -euo pipefail
[ "${1:-}" != --help ] || { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit; }
PYTHON=${PYTHON:-python}

say() { echo "install_mmcv.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null || fail "PYTHON=\"$PYTHON\" is no interpreter: name the environment's."
pip() {
    # What pip says counts only when it fails; a location without packages is no failure.
    "$PYTHON" -m pip --quiet --disable-pip-version-check "$@" 2> >(grep -v '^WARNING: Location' >&2)
}

distribution() {  # its version in the environment, or nothing
    "$PYTHON" -c "
from importlib.metadata import PackageNotFoundError, version
try:
    print(version('$1'))
except PackageNotFoundError:
    pass"
}
works() {  # whether the ops load and do what they are to do, on the device built for
    "$PYTHON" -W ignore - "$VERSION" <<'PY'
import os
import sys
import torch
import mmcv
from mmcv.ops import nms
assert mmcv.__version__ == sys.argv[1], mmcv.__version__
on_gpu = torch.cuda.is_available() and os.environ.get('FORCE_CUDA') != '0'
device = 'cuda' if on_gpu else 'cpu'
boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]], device=device)
_, kept = nms(boxes, torch.tensor([.9, .8, .7], device=device), .5)
assert kept.tolist() == [0, 2], kept
PY
}

NAME=mmcv VERSION=2.1.0 lite=$(distribution mmcv-lite)
if [ -n "$(distribution onedl-mmengine)" ]; then
    NAME=onedl-mmcv VERSION=$(distribution onedl-mmcv)
    VERSION=${VERSION:-2.3.6}
fi
if [ "$(distribution "$NAME")" = "$VERSION" ] && [ -z "$lite" ] && works 2>/dev/null; then
    say "$NAME $VERSION with its ops is installed."
    exit 0
fi

# What the wheel depends on, one assignment a line.
described=$("$PYTHON" - <<'PY'
import os, sys, sysconfig
try:
    import torch
except ImportError as error:
    sys.exit(f'install_mmcv.sh: {sys.executable} has no torch ({error}): install torch and torchvision first.')
forced = os.environ.get('FORCE_CUDA')
if forced not in (None, '0', '1'):
    sys.exit(f'install_mmcv.sh: FORCE_CUDA="{forced}", expected 0 or 1.')
cuda = torch.cuda.is_available() if forced is None else forced == '1'
if cuda and torch.version.cuda is None:
    sys.exit(f'install_mmcv.sh: FORCE_CUDA=1, but torch {torch.__version__} is built without CUDA: '
             'install one with CUDA, or leave out FORCE_CUDA.')
archs = os.environ.get('TORCH_CUDA_ARCH_LIST', '').replace(' ', ';')
if cuda and not archs:
    seen = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    archs = ';'.join(f'{major}.{minor}' for major, minor in sorted(seen))
    if not archs:
        sys.exit('install_mmcv.sh: FORCE_CUDA=1 and no GPU is seen: say what to build for with '
                 'TORCH_CUDA_ARCH_LIST, as "8.0;9.0".')
kind = f'cu{torch.version.cuda}_sm{archs.replace(";", "_")}' if cuda else 'cpu'
abi = f'abi{int(torch.compiled_with_cxx11_abi())}'
parts = (sys.implementation.cache_tag, f'torch{torch.__version__}', kind, sysconfig.get_platform(), abi)
print('key=' + '-'.join(parts))
print('cuda=' + str(int(cuda)))
print('cuda_version=' + (torch.version.cuda or ''))
print('archs=' + archs)
minor = '.'.join(torch.__version__.split('.')[:2])
built = 'cu' + torch.version.cuda.replace('.', '') if cuda else 'cpu'
print(f'mmcv_index=https://download.openmmlab.com/mmcv/dist/{built}/torch{minor}.0/index.html')
print(f'onedl-mmcv_index=https://mmwheels.onedl.ai/{built}-torch{minor.replace(".", "")}0/onedl-mmcv/')
print('headers=' + sysconfig.get_paths()['include'])
PY
) || exit 1
get() { sed -n "s/^$1=//p" <<<"$described"; }
key=$(get key) cuda=$(get cuda) cuda_version=$(get cuda_version) headers=$(get headers)

cache="${XDG_CACHE_HOME:-$HOME/.cache}/mmcskd/$NAME-$VERSION-$key"
wheel=$(find "$cache" -name '*.whl' 2>/dev/null | head -1 || true)
work=$(mktemp -d "${TMPDIR:-/tmp}/mmcv.XXXXXX")
trap 'rm -rf "$work"' EXIT
index=${MMCV_INDEX-$(get "${NAME}_index")}
if [ -z "$wheel" ] && [ -n "$index" ]; then
    # Tried apart from the environment, which keeps what it has until there is something better.
    if ! PIP_FIND_LINKS='' pip download --no-deps --only-binary :all: --no-index --find-links "$index" \
        --retries 0 --timeout 20 -d "$work/found" "$NAME==$VERSION" 2> "$work/index.log"; then
        say "no wheel of $NAME $VERSION for this Python at $index."
    else
        found=$(find "$work/found" -name '*.whl')
        pip install --no-deps --target "$work/tried" "$found"
        if PYTHONPATH="$work/tried${PYTHONPATH:+:$PYTHONPATH}" works 2> "$work/tried.log"; then
            wheel=$found
        else
            say "the ops of $(basename "$found") do not work here: $(tail -1 "$work/tried.log")"
        fi
    fi
fi
if [ -z "$wheel" ]; then
    compiler=${CXX:-c++}
    command -v "$compiler" >/dev/null || command -v g++ >/dev/null \
        || fail "no C++ compiler, \"$compiler\" is not found: install g++ 10 or newer (apt-get install g++)."
    command -v "$compiler" >/dev/null || export CXX=g++ compiler=g++
    command -v strip >/dev/null || fail "strip is not found: install binutils (apt-get install binutils)."
    [ -f "$headers/Python.h" ] || fail "$headers/Python.h is missing: install Python's headers (apt-get" \
        "install $("$PYTHON" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])'))."
    printf '#include <Python.h>\n#include <concepts>\nint main() { return 0; }\n' > "$work/probe.cpp"
    "$compiler" -std=c++20 -I"$headers" -c "$work/probe.cpp" -o "$work/probe.o" 2> "$work/probe.log" \
        || fail "$compiler does not compile C++20, which torch's headers need: install g++ 10 or newer" \
                "and name it with CXX. It said: $(head -3 "$work/probe.log")"
    if [ "$cuda" = 1 ]; then
        nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
        nvcc=$(command -v "${nvcc:-nvcc}" || command -v /usr/local/cuda/bin/nvcc || true)
        [ -n "$nvcc" ] || fail "nvcc is not found in CUDA_HOME, PATH or /usr/local/cuda: install the CUDA" \
            "toolkit $cuda_version, or build for the CPU with FORCE_CUDA=0."
        release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
        [ "${release%%.*}" = "${cuda_version%%.*}" ] || fail "$nvcc is of CUDA $release, but torch is built" \
            "with CUDA $cuda_version: install that toolkit and set CUDA_HOME."
        if [ -z "${CUDA_HOME:-}" ]; then
            CUDA_HOME=$("$nvcc" --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
            CUDA_HOME=$(cd "${CUDA_HOME:-$(dirname "$nvcc")/..}" && pwd)
        fi
        [ -f "$CUDA_HOME/include/cuda_runtime.h" ] || fail "$CUDA_HOME/include/cuda_runtime.h is missing:" \
            "install the development files of the CUDA toolkit $cuda_version."
        export CUDA_HOME TORCH_CUDA_ARCH_LIST
        TORCH_CUDA_ARCH_LIST=$(get archs)
    fi
    if [ -z "${MAX_JOBS:-}" ]; then
        cores=$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
        room=$(awk '/MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || echo "$cores")
        MAX_JOBS=$((room < 1 ? 1 : room < cores ? room : cores))
    fi
    export MAX_JOBS

    say "building $NAME $VERSION for $key with $MAX_JOBS compilers at a time; 13 minutes on 2 cores …"
    # What builds it goes beside the environment, not into it.
    pip install --target "$work/tools" 'setuptools<81' wheel ninja
    own_path=${PYTHONPATH-}
    export PYTHONPATH="$work/tools${PYTHONPATH:+:$PYTHONPATH}" PATH="$work/tools/bin:$PATH"
    export MMCV_WITH_OPS=1 FORCE_CUDA=$cuda
    pip download --no-deps --no-binary "$NAME" --no-build-isolation -d "$work" "$NAME==$VERSION" \
        || fail "the source distribution $NAME==$VERSION cannot be fetched from the package index."
    tar -xzf "$work/${NAME/-/_}-$VERSION.tar.gz" -C "$work"
    cd "$work/${NAME/-/_}-$VERSION"
    # Written before torch's headers wanted C++20.
    sed -i.orig 's/-std=c++1[47]/-std=c++20/g' setup.py
    # CFLAGS stand in for those Python was built with, and so for their -O.
    export CFLAGS="${CFLAGS:--O2} -g0"
    if [ "$cuda" = 0 ]; then
        # Torch's headers are most of what there is to compile, in each of 77 files: once is enough.
        # A compiler that cannot use what it compiled reads them as before.
        torch_headers=$("$PYTHON" -W ignore -c 'from torch.utils.cpp_extension import include_paths
print(*(f"-I{path}" for path in include_paths()))' 2>/dev/null)
        echo '#include <torch/types.h>' > "$work/torch_types.hpp"
        # shellcheck disable=SC2086
        if "$compiler" $CFLAGS -fPIC $torch_headers -std=c++20 -DTORCH_API_INCLUDE_EXTENSION_H \
            -DTORCH_EXTENSION_NAME=_ext -x c++-header "$work/torch_types.hpp" \
            -o "$work/torch_types.hpp.gch" 2> "$work/headers.log"; then
            CFLAGS="$CFLAGS -include $work/torch_types.hpp"
        fi
    fi
    "$PYTHON" setup.py --quiet bdist_wheel -d "$work/built" > "$work/build.log" 2>&1 || {
        log="${TMPDIR:-/tmp}/mmcv_build_$$.log"
        mv "$work/build.log" "$log"
        grep -m 5 -E 'error|fatal|No space|Killed' "$log" >&2 || tail -5 "$log" >&2
        fail "the build failed; all it said is in $log."
    }
    (
        cd "$work/built"
        "$PYTHON" -m wheel unpack ./*.whl > /dev/null
        find . -name '*.so' -exec strip -S {} +
        mkdir stripped
        "$PYTHON" -m wheel pack --dest-dir stripped "./${NAME/-/_}-$VERSION" > /dev/null
    )
    # Moved in one step, so that whoever looks meanwhile finds none or all of it.
    mkdir -p "$(dirname "$cache")"
    mv "$work/built/stripped" "$cache.$$"
    rm -rf "$cache"
    mv "$cache.$$" "$cache"
    wheel=$(find "$cache" -name '*.whl' | head -1)
    PYTHONPATH=$own_path
    cd /
    say "kept $wheel ($(du -h "$wheel" | cut -f1))."
fi

if [ -n "$lite" ]; then
    say "replacing mmcv-lite $lite, which fills the same directory."
    pip uninstall -y mmcv-lite
fi
pip install --force-reinstall --no-deps "$wheel"
pip install "$wheel" # what it depends on, if anything is missing
works || fail "$NAME $VERSION is installed, but its ops do not work: delete $cache and run again."
say "installed $(basename "$wheel") with its ops ($key)."
