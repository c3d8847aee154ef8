"""tools/install_mmcv.sh up to where the compiler would start; the build itself: .ci/run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tool_runs import ROOT

SCRIPT = ROOT / 'tools' / 'install_mmcv.sh'
SYSTEM = ('bash', 'cat', 'dirname', 'find', 'grep', 'head', 'mktemp', 'rm', 'sed', 'awk', 'env')

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

    def install(gpu=False, cuda=None, headers=True, environment=None, **tools):
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
                PYTHON=sys.executable,
                PYTHONPATH=str(places['site']),
                XDG_CACHE_HOME=str(tmp_path / 'cache'),
                HOME=str(tmp_path),
                **(environment or {}),
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
