"""Each test runs on the CPU, and on CUDA where there is one: ``pytest -m gpu``."""

import os

# Before CUDA starts, for torch's deterministic algorithms.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest
import torch

CUDA = pytest.param(
    'cuda',
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'),
    ],
)


@pytest.fixture(params=['cpu', CUDA])
def device(request, monkeypatch):
    """What a test runs on; the processes that it starts see nothing else."""
    if request.param == 'cpu':
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    return request.param


@pytest.fixture(autouse=True)
def determinism_ends_with_the_test():
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
