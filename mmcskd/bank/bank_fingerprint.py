"""All that the responses of a bank depend on, so that another run's bank is never used."""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size

from ..checks.config_type import type_name

FILE = 'fingerprint.json'
# Those whose releases may change what is read, augmented or answered.
LIBRARIES = ('torch', 'torchvision', 'numpy', 'Pillow', 'opencv-python', 'mmengine', 'mmpretrain')
MMCV = ('mmcv', 'mmcv-lite')
# A loader's keys that change how fast batches come, not which.
SPEED = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')


def fingerprint(cfg: Config, seed: int, views: int, top_k: Optional[int]) -> Dict[str, Any]:
    """What the views of a run and its teacher's responses to them depend on.

    Args:
        cfg (mmengine.Config): A training config that distils.
        seed (int): The run's.
        views (int): Views of a process in an epoch.
        top_k (int, optional): Classes kept for soft targets.

    Returns:
        dict: Of JSON's types, by the names of config keys where there are such.
    """
    model = cfg.model
    loader = {key: value for key, value in cfg.train_dataloader.items() if key not in SPEED}
    recorders = (model.get('distiller') or {}).get('teacher_recorders')
    found = {
        'model.teacher': model.get('teacher'),
        'model.teacher_ckpt': model.get('teacher_ckpt'),
        'content of model.teacher_ckpt': _digest_of_file(model.get('teacher_ckpt')),
        'model.teacher_view': model.get('teacher_view'),
        'model.distiller.teacher_recorders': recorders,
        'model.data_preprocessor': model.get('data_preprocessor'),
        'data_preprocessor': cfg.get('data_preprocessor'),
        'model.distiller.distill_losses grids': _grids(model),
        'model.bank.top_k': top_k,
        'model.distiller.distill_losses temperatures': top_k and _temperatures(model),
        'train_dataloader': loader,
        'optim_wrapper.type': _precision(cfg.optim_wrapper),
        'randomness.seed': seed,
        'number of processes': get_world_size(),
        'views of a process in an epoch': views,
        **{f'version of {name}': _version(name) for name in (*LIBRARIES, 'mmcv')},
    }
    return json.loads(json.dumps(found, sort_keys=True, default=_name))


def difference(banked: Dict[str, Any], now: Dict[str, Any]) -> Optional[str]:
    """The first thing in which two fingerprints differ.

    Args:
        banked (dict): The bank's.
        now (dict): This run's.

    Returns:
        str | None: A sentence that names it and both values; None if there is nothing.
    """
    for key in sorted({*banked, *now}):
        path, first, second = _first_difference(key, banked.get(key), now.get(key))
        if path is not None:
            return (
                f'"{path}" was {_short(first)} when the bank was made and is {_short(second)} now.'
            )
    return None


def read(root: Path) -> Optional[Dict[str, Any]]:
    """A bank's fingerprint; None where there is no bank yet."""
    path = Path(root) / FILE
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def _first_difference(path: str, first: Any, second: Any):
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            found = _first_difference(f'{path}.{key}', first.get(key), second.get(key))
            if found[0] is not None:
                return found
        return None, None, None
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, pair in enumerate(zip(first, second)):
            found = _first_difference(f'{path}.{index}', *pair)
            if found[0] is not None:
                return found
        return None, None, None
    return (path, first, second) if first != second else (None, None, None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else text[:117] + '…'


def _grids(model: dict) -> Dict[str, str]:
    return _of_losses(model, 'grid', 'coarser', ('CSKDLoss',))


def _temperatures(model: dict) -> Dict[str, float]:
    return _of_losses(model, 'temperature', 1.0, ('CSKDLoss', 'DeiTLoss'))


def _of_losses(model: dict, key: str, default: Any, types: Tuple[str, ...]) -> Dict[str, Any]:
    losses = (model.get('distiller') or {}).get('distill_losses') or {}
    return {
        name: loss.get(key, default) for name, loss in losses.items() if type_name(loss) in types
    }


def _precision(wrapper: dict) -> list:
    kind = wrapper.get('type', 'OptimWrapper')
    return [_name(kind) if isinstance(kind, type) else kind, str(wrapper.get('dtype'))]


def _digest_of_file(path: Optional[str]) -> Optional[str]:
    """Of a URL, whose name stands for its content, None."""
    if path is None or '://' in path or not Path(path).is_file():
        return None
    sha = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            sha.update(block)
    return sha.hexdigest()


def _version(name: str) -> Optional[str]:
    for distribution in MMCV if name == 'mmcv' else (name,):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _name(value: Any) -> str:
    """Of a class or function in a config, without its address."""
    named = value if hasattr(value, '__qualname__') else type(value)
    return f'{named.__module__}.{named.__qualname__}'
