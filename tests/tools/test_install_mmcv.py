"""tools/install_mmcv.sh up to where the compiler would start; the build itself: .ci/run."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tool_runs import ROOT

from mmcskd.compat import is_onedl

SCRIPT = ROOT / 'tools' / 'install_mmcv.sh'
SYSTEM = (
    'awk', 'basename', 'bash', 'cat', 'dirname', 'env', 'find', 'grep', 'head', 'mktemp', 'rm',
    'sed', 'tail',
)  # fmt: skip

# Stands for torch: what the script asks it.
TORCH = """
class cuda:
    is_available = staticmethod(lambda: {gpu})
    device_count = staticmethod(lambda: {gpu:d})
    get_device_capability = staticmethod(lambda index: (8, 0))
class version:
    cuda = {cuda!r}
__version__ = '9.9.9'
compiled_with_cxx11_abi = lambda: True
tensor = lambda values, device: (values, device)
"""
# Stands for mmcv in a wheel that somebody built, for the CPU or CUDA.
OPS = """
import types
def nms(boxes, scores, threshold):
    assert boxes[1] == {device!r}, 'built for another device'
    return None, types.SimpleNamespace(tolist=lambda: [0, 2])
"""
# Stands for Python's headers.
HEADERS = """
import sysconfig
stock = sysconfig.get_paths
sysconfig.get_paths = lambda *args, **kwargs: {{**stock(*args, **kwargs), 'include': {path!r}}}
"""


@pytest.fixture
def machine(tmp_path):
    """Runs the script on a machine with the tools named, as scripts, and a torch of some kind."""

    def install(
        gpu=False, cuda=None, headers=True, environment=None, python=sys.executable, **tools
    ):
        places = {name: tmp_path / name for name in ('bin', 'site', 'include')}
        for place in places.values():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        for tool in SYSTEM:
            (places['bin'] / tool).symlink_to(shutil.which(tool))
        for tool, text in tools.items():
            path = places['bin'] / tool.replace('cxx', 'c++')
            path.write_text(f'#!/usr/bin/env bash\n{text}\n')
            path.chmod(0o755)
        if headers:
            (places['include'] / 'Python.h').touch()
        (places['site'] / 'torch.py').write_text(TORCH.format(gpu=gpu, cuda=cuda))
        (places['site'] / 'sitecustomize.py').write_text(
            HEADERS.format(path=str(places['include']))
        )
        return subprocess.run(
            ['bash', SCRIPT],
            env=dict(
                PATH=str(places['bin']),
                PYTHON=str(python),
                PYTHONPATH=str(places['site']),
                XDG_CACHE_HOME=str(tmp_path / 'cache'),
                HOME=str(tmp_path),
                **{
                    key: value
                    for key, value in dict(dict(MMCV_INDEX=''), **(environment or {})).items()
                    if value is not None
                },
            ),
            capture_output=True,
            text=True,
            timeout=100,
        )

    return install


def refused(done):
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_a_missing_compiler_is_named(machine):
    assert 'no C++ compiler, "c++" is not found: install g++ 10' in refused(machine())
    error = refused(machine(environment=dict(CXX='clang-99')))
    assert 'no C++ compiler, "clang-99" is not found' in error


def test_missing_binutils_and_headers_are_named(machine, tmp_path):
    assert 'strip is not found: install binutils' in refused(machine(cxx='exit 0'))
    error = refused(machine(cxx='exit 0', strip='exit 0', headers=False))
    assert f"{tmp_path}/include/Python.h is missing: install Python's headers" in error


def test_a_compiler_without_cpp20_is_refused(machine):
    old = 'echo "unrecognized option -std=c++20" >&2; exit 1'
    error = refused(machine(cxx=old, strip='exit 0'))
    assert 'c++ does not compile C++20' in error
    assert 'unrecognized option' in error


def test_a_gpu_without_nvcc_or_of_another_cuda_is_refused(machine, tmp_path):
    compiler = dict(cxx='exit 0', strip='exit 0', gpu=True)
    if not Path('/usr/local/cuda/bin/nvcc').exists():
        error = refused(machine(**compiler, cuda='12.4'))
        assert 'nvcc is not found' in error and 'FORCE_CUDA=0' in error
    nvcc = tmp_path / 'cuda' / 'bin' / 'nvcc'
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 11.8, V11.8.89"\n')
    nvcc.chmod(0o755)
    home = dict(CUDA_HOME=str(tmp_path / 'cuda'))
    error = refused(machine(**compiler, cuda='12.4', environment=home))
    assert f'{nvcc} is of CUDA 11.8, but torch is built with CUDA 12.4' in error
    error = refused(machine(**compiler, cuda='11.8', environment=home))
    assert f'{tmp_path}/cuda/include/cuda_runtime.h is missing' in error


def test_cuda_that_torch_has_not_or_nobody_sees(machine):
    error = refused(machine(environment=dict(FORCE_CUDA='1')))
    assert 'FORCE_CUDA=1, but torch 9.9.9 is built without CUDA' in error
    error = refused(machine(cuda='12.4', environment=dict(FORCE_CUDA='1')))
    assert 'TORCH_CUDA_ARCH_LIST' in error
    error = refused(machine(environment=dict(FORCE_CUDA='yes')))
    assert 'FORCE_CUDA="yes", expected 0 or 1' in error


def test_no_torch_or_interpreter(machine, tmp_path):
    done = subprocess.run(
        ['bash', SCRIPT], env=dict(os.environ, PYTHON='/nowhere/python'), capture_output=True,
        text=True,
    )  # fmt: skip
    assert 'PYTHON="/nowhere/python" is no interpreter' in refused(done)
    hidden = tmp_path / 'hidden'
    hidden.mkdir()
    (hidden / 'torch.py').write_text("raise ImportError('not here')")
    done = subprocess.run(
        ['bash', SCRIPT],
        env=dict(os.environ, PYTHON=sys.executable, PYTHONPATH=str(hidden)),
        capture_output=True,
        text=True,
    )
    assert 'has no torch (not here): install torch and torchvision first' in refused(done)


def made_up_wheel(folder, name='mmcv', version='2.1.0', device='cpu'):
    """A wheel of mmcv, by hand: what somebody would have built for a torch and a CUDA."""
    folder.mkdir(exist_ok=True)
    about = f'{name.replace("-", "_")}-{version}'
    files = {
        'mmcv/__init__.py': f'__version__ = {version!r}\n',
        'mmcv/ops.py': OPS.format(device=device),
        f'{about}.dist-info/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n',
        f'{about}.dist-info/WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\n',
    }
    files[f'{about}.dist-info/RECORD'] = ''.join(f'{path},,\n' for path in files)
    with zipfile.ZipFile(folder / f'{about}-py3-none-any.whl', 'w') as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('stack', ['openmmlab', 'onedl'])
def test_a_wheel_of_the_index_is_taken(machine, tmp_path, stack):
    """If its ops work, without a compiler; what was there without ops goes."""
    python = tmp_path / 'venv' / 'bin' / 'python'
    subprocess.run([sys.executable, '-m', 'venv', tmp_path / 'venv'], check=True)
    (packages,) = (tmp_path / 'venv').rglob('site-packages')
    name, version = dict(openmmlab=('mmcv', '2.1.0'), onedl=('onedl-mmcv', '2.3.6'))[stack]
    there = ['mmcv-lite'] if stack == 'openmmlab' else ['onedl-mmengine', 'onedl-mmcv']
    for one in there:
        info = packages / f'{one.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {one}\nVersion: {version}\n')
        names = ('METADATA', 'RECORD')
        (info / 'RECORD').write_text(''.join(f'{info.name}/{each},,\n' for each in names))
    index = made_up_wheel(tmp_path / 'index', name, version)
    install = dict(python=python, environment=dict(MMCV_INDEX=str(index)))
    done = machine(**install)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f'installed {name.replace("-", "_")}-{version}-py3-none-any.whl with its' in done.stdout
    assert (packages / 'mmcv' / 'ops.py').is_file()
    assert not list(packages.glob('mmcv_lite*'))
    assert (
        machine(**install).stdout
        == f'install_mmcv.sh: {name} {version} with its ops is installed.\n'
    )


@pytest.mark.slow
def test_a_wheel_that_does_not_serve_is_left(machine, tmp_path):
    """One for another device, or of another version: it would be built, and nothing has changed."""
    index = made_up_wheel(tmp_path / 'index', device='cuda')
    done = machine(environment=dict(MMCV_INDEX=str(index)))
    assert 'no C++ compiler' in refused(done)
    assert 'the ops of mmcv-2.1.0-py3-none-any.whl do not work here: AssertionError: built for' in (
        done.stdout
    )
    other = made_up_wheel(tmp_path / 'other', version='2.2.0')
    done = machine(environment=dict(MMCV_INDEX=str(other)))
    assert 'no C++ compiler' in refused(done)
    assert f'no wheel of mmcv 2.1.0 for this Python at {other}.' in done.stdout


@pytest.mark.parametrize('force, built', [('0', 'cpu'), ('1', 'cu121')])
def test_the_index_is_that_of_the_torch(machine, force, built):
    """By default, that of who builds the stack; a proxy that is not there stands for no network."""
    environment = dict(FORCE_CUDA=force, TORCH_CUDA_ARCH_LIST='8.0', PIP_PROXY='http://127.0.0.1:9')
    done = machine(cuda='12.1', environment=dict(environment, MMCV_INDEX=None))
    page = f'https://download.openmmlab.com/mmcv/dist/{built}/torch9.9.0/index.html'
    if is_onedl():
        page = f'https://mmwheels.onedl.ai/{built}-torch990/onedl-mmcv/'
    assert f'for this Python at {page}.' in done.stdout
