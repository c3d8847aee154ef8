"""Fixtures of tests/ and of the laboratory's tests in .dev_scripts/tests/."""

import gc
import os
import signal
import time
from types import SimpleNamespace

# Before torch is imported: tests that run at a time, and the processes they start, share two cores.
# Such a worker inherits what the process that started it has set here.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ['OMP_NUM_THREADS'] = '1'
else:
    os.environ.setdefault('OMP_NUM_THREADS', '2')

import pytest
import torch
from mmengine.config import config as mmengine_config
from mmengine.registry import init_default_scope
from tool_runs import forget_runs, prepare
from yapf.yapflib import yapf_api

import mmcskd  # noqa: F401, fills the registries


def pytest_collection_modifyitems(items):
    """The laboratory's tests are slow; elsewhere a test says so itself."""
    for item in items:
        if '.dev_scripts' in item.path.parts:
            item.add_marker(pytest.mark.slow)


# Autograd looks for devices once, at the first backward pass. If torch.compile has registered its
# own by then, it starts threads for them, and a process forked by a later test has no backward
# pass.
torch.ones(1, requires_grad=True).backward()


@pytest.fixture(scope='session', autouse=True)
def runners_that_start_quickly():
    """A Runner formats its config five times, a second each, and asks compilers for versions.

    Loops that count iterations sleep for two seconds where the data begin anew.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (mmengine_config, yapf_api):  # OneDL's imports it where it is used
            patch.setattr(module, 'FormatCode', lambda text, **_: (text, True), raising=False)
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        awake = SimpleNamespace(**{**vars(time), 'sleep': lambda seconds: None})
        patch.setattr('mmengine.runner.loops.time', awake)
        yield


@pytest.fixture(scope='module', autouse=True)
def quick_collections():
    """MMEngine collects garbage for every dataset: not by looking at what earlier files left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def mmpretrain_scope():
    """As in a run: MMPretrain's registries are the default; every test draws the same numbers."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    yield
    forget_runs()


@pytest.fixture(autouse=True)
def own_signals():
    """A run that ends by an exception, as many do here, still listens for SIGTERM."""
    handler, wakeup = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    yield
    signal.signal(signal.SIGTERM, handler)
    signal.set_wakeup_fd(wakeup)


@pytest.fixture(scope='session')
def place(tmp_path_factory):
    """A directory with a trained teacher and the configs that use it."""
    return prepare(tmp_path_factory.mktemp('runs'))
