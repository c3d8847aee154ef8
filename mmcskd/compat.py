"""The one place that bridges the frozen OpenMMLab packages to today's PyTorch.

Each bridge names the symptom it cures and the versions it applies to; ``tests/test_compat.py``
shows each symptom without its bridge. Nothing here changes what a package computes.
"""

import functools
import importlib
import importlib.util
import os
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType

MIN_PYTHON = (3, 9)

# module: (distributions that bring it, lowest version, first version too new, what to install)
SUPPORTED = {
    'torch': (('torch',), '2.0', None, 'torch>=2.0 torchvision'),
    'torchvision': (('torchvision',), '0.15', None, 'torch>=2.0 torchvision'),
    'mmengine': (('mmengine', 'mmengine-lite'), '0.10.0', '1.0', 'mmengine==0.10.7'),
    'mmcv': (('mmcv', 'mmcv-lite'), '2.1.0', '2.2.0', 'mmcv-lite==2.1.0'),
    'mmpretrain': (('mmpretrain',), '1.2.0', '2.0', 'mmpretrain==1.2.0'),
    'mmrazor': (('mmrazor',), '1.0.0', '2.0', 'mmrazor==1.0.0'),
    'timm': (('timm',), '0.9', None, 'timm>=0.9'),
    'joblib': (('joblib',), '1.0', None, 'joblib'),
    'scipy': (('scipy',), '1.6', None, 'scipy'),
    # MMEngine resolves `_base_ = 'mmpretrain::…'` with pkg_resources, which setuptools 81 dropped.
    'pkg_resources': (('setuptools',), '0', '81', 'setuptools<81'),
}


def check_versions() -> None:
    """Refuse an unsupported version of any part with one sentence.

    Raises:
        ImportError: Naming the part, the version found, the versions that serve and the ``pip``
            command that installs one.
    """
    if sys.version_info < MIN_PYTHON:
        found = '.'.join(map(str, sys.version_info[:3]))
        raise ImportError(
            f'mmcskd needs Python >= 3.9 but runs on {found}: make a new environment, '
            'for example with `python3.11 -m venv .venv`.'
        )
    from packaging.version import Version

    for distributions, lowest, too_new, install in SUPPORTED.values():
        found = None
        for distribution in distributions:
            try:
                found = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
        wanted = f'>= {lowest}' + (f', < {too_new}' if too_new else '')
        remedy = f'run `pip install {" ".join(repr(part) for part in install.split())}`.'
        if found is None:
            raise ImportError(f'mmcskd needs {distributions[0]} {wanted}, not installed: {remedy}')
        release = Version(Version(found).base_version)
        if release < Version(lowest) or (too_new and release >= Version(too_new)):
            raise ImportError(f'mmcskd needs {distributions[0]} {wanted}, found {found}: {remedy}')


class _NoBackends(dict):
    """Stands for MMRazor's table of quantization backends where torch has none to offer."""

    def __missing__(self, key):
        import torch

        raise ImportError(
            f'The quantization backend {key!r} of MMRazor 1.0 needs functions that torch '
            f'{torch.__version__} no longer has; distillation does not use it.'
        )


def bridge_quantization() -> None:
    """Make ``mmrazor.models`` importable.

    Symptom: "`torch>=1.13` is not installed properly" from ``import mmrazor.models``.
    Cause: MMRazor 1.0's quantization tables name torch functions that newer releases removed.
    Applies: only where the real tables cannot be imported; elsewhere nothing changes.
    """
    name = 'mmrazor.structures.quantization.backend_config'
    if name in sys.modules:
        return
    before = set(sys.modules)
    try:
        importlib.import_module('mmrazor.structures')
    except (ImportError, AttributeError):
        for module in set(sys.modules) - before:
            if module.startswith('mmrazor.structures'):
                del sys.modules[module]
        stand_in = ModuleType(name, 'Quantization is not available with this torch.')
        stand_in.BackendConfigs = _NoBackends()
        stand_in.__all__ = ['BackendConfigs']
        sys.modules[name] = stand_in


def _statistic_of_history(owner, name: str):
    """Stands for ``getattr`` in a checkpoint, where it may fetch one thing only."""
    import pickle

    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_') or not hasattr(owner, name):
        raise pickle.UnpicklingError(f'A checkpoint may not fetch {name!r} of {owner!r}.')
    return getattr(HistoryBuffer, name)


def checkpoint_globals() -> list:
    """What a message hub is made of: the types and functions, or those with a name to go by."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    multiarray = importlib.import_module(
        'numpy._core.multiarray'
        if importlib.util.find_spec('numpy._core')
        else 'numpy.core.multiarray'
    )
    dtypes = {type(np.dtype(name)) for name in ('float64', 'float32', 'int64', 'int32', 'bool')}
    # A pickle written under the other major version of NumPy names the same function elsewhere.
    functions = [
        (function, f'{package}.multiarray.{function.__name__}')
        for function in (multiarray._reconstruct, multiarray.scalar)
        for package in ('numpy.core', 'numpy._core')
    ]
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *sorted(dtypes, key=lambda dtype: dtype.__name__),
        *functions,
        (_statistic_of_history, 'builtins.getattr'),
    ]


def bridge_checkpoints() -> None:
    """Let MMEngine resume its own checkpoints under ``weights_only=True``.

    Symptom: "Weights only load failed … HistoryBuffer" on resume or load.
    Cause: MMEngine stores its message hub, made of HistoryBuffer and NumPy values, beside the
    tensors. A HistoryBuffer names its statistics, such as ``HistoryBuffer.mean``, by ``getattr``.
    Applies: torch >= 2.6, which unpickles tensors only. Exactly the parts of a message hub are
    allowed; in place of ``getattr`` a function that fetches a statistic and nothing else. Older
    releases read checkpoints by ``restricted_pickle``.
    """
    import torch
    from packaging.version import Version

    if Version(torch.__version__).release >= (2, 6):
        torch.serialization.add_safe_globals(checkpoint_globals())


def bridge_package_configs() -> None:
    """Let ``_base_ = 'mmcskd::…'`` find this package's configs, however it is installed.

    Symptom: "mmengine does not support to load mmcskd config".
    Cause: MMEngine has a list of the packages whose configs it loads by name, wants them in
    folders, looks beside a package's metadata, where an editable install has none, and builds what
    they name in a registry scope of the package, where this one registers with MMRazor's and
    MMPretrain's.
    Applies: names that begin with ``mmcskd::``; they are files in the package's ``.mim/configs``
    and read as if they lay beside the config that names them.
    """
    from mmengine.config import Config

    from .suggest import nearest

    stock = Config._get_cfg_path
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def get_cfg_path(cfg_path: str, filename: str):
        package, _, path = cfg_path.partition('::')
        if package != 'mmcskd':
            return stock(cfg_path, filename)
        configs = Path(__file__).parent / '.mim' / 'configs'
        if not (configs / path).is_file():
            known = [str(config.relative_to(configs)) for config in configs.rglob('*.py')]
            raise ValueError(
                f'_base_="{cfg_path}" in {filename} is no config. ' + nearest(path, known)
            )
        return str(configs / path), None

    Config._get_cfg_path = staticmethod(get_cfg_path)


def bridge_unused_norms(backbone) -> None:
    """Let MMPretrain's DeiT III train in several processes.

    Symptom: DistributedDataParallel stops in the second step, "Expected to have finished reduction",
    or wants ``find_unused_parameters=True``.
    Cause: each layer of MMPretrain 1.2's DeiT III applies ``ln1`` twice and ``ln2`` never, and its
    published weights and accuracies belong to that; ``ln2`` gets no gradient.
    Applies: layers of ``DeiT3``. What never runs is frozen; the model computes what it did.

    Args:
        backbone (nn.Module): Of a student; any but DeiT III is left as it is.
    """
    for module in backbone.modules():
        if type(module).__name__ == 'DeiT3TransformerEncoderLayer':
            module.ln2.requires_grad_(False)


@contextmanager
def bridge_window_batch():
    """Let windowed attention be exported for any batch size.

    Symptom: an ONNX file of a Swin gives wrong logits, and no error, for a batch of another size than
    the one it was exported with.
    Cause: MMPretrain computes the batch size from the number of windows by ``int`` of a float, which
    an exporter takes for a constant.
    Applies: within the context, to ``ShiftWindowMSA`` (Swin, Swin V2, DaViT); the division is exact.
    """
    from mmpretrain.models.utils import ShiftWindowMSA

    def window_reverse(windows, height, width, size):
        rows, columns = height // size, width // size
        batch = windows.shape[0] // (rows * columns)
        x = windows.view(batch, rows, columns, size, size, -1)
        return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)

    own = ShiftWindowMSA.window_reverse
    ShiftWindowMSA.window_reverse = staticmethod(window_reverse)
    try:
        yield
    finally:
        ShiftWindowMSA.window_reverse = staticmethod(own)


def has_accelerator() -> bool:
    """Whether MMEngine would train on anything but the CPU."""
    from mmengine.device import get_device

    return get_device() != 'cpu'


def bridge_cpu_processes(cfg) -> None:
    """Let several processes train on a machine with no accelerator.

    Symptom: a run started by ``torchrun`` without a GPU fails in ``torch.cuda.set_device``; once
    past it, DistributedDataParallel rejects ``device_ids``.
    Cause: MMEngine takes CUDA for granted in distributed runs.
    Applies: no accelerator and ``cfg.launcher`` is set; must be called before the Runner is built.

    Args:
        cfg (mmengine.Config): The run's config; ``model_wrapper_cfg``, or the ``strategy`` of a
            FlexibleRunner, is filled in.

    Raises:
        ValueError: For a launcher that gives no rendezvous on a CPU.
    """
    if cfg.get('launcher', 'none') == 'none' or has_accelerator():
        return
    if cfg.launcher != 'pytorch' or 'RANK' not in os.environ:
        raise ValueError(
            f'--launcher {cfg.launcher} has no process group to join on a machine without a GPU: '
            'start with tools/dist_train.sh or tools/dist_test.sh, which use torchrun and gloo.'
        )
    import datetime

    import torch.distributed as dist

    if not dist.is_initialized():
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        options = {} if timeout is None else dict(timeout=datetime.timedelta(seconds=timeout))
        dist.init_process_group('gloo', **options)
    if cfg.get('strategy') is not None:  # of a FlexibleRunner, which wraps the model by it
        if cfg.strategy.get('type') == 'DDPStrategy':
            wrapper = cfg.strategy.get('model_wrapper') or dict(broadcast_buffers=False)
            cfg.strategy.model_wrapper = {**wrapper, 'device_ids': None}
        return
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **cfg.get('model_wrapper_cfg', {}),
        'device_ids': None,
    }
