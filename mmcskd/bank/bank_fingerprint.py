"""What the responses of a bank depend on, to refuse the bank of another run."""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size

from ..checks.class_names import dataset_classes
from ..checks.part import type_name
from ..runs.amp_optim_wrapper import cast_dtype
from ..runs.bounds import shallow
from ..runs.run_fingerprint import SPEED, content_digest, differences, plain, short

FILE = 'fingerprint.json'
WEIGHTS = 'content of model.teacher_ckpt'
ABSENT = 'no file here'
# Libraries whose releases may change images, augmentation or responses.
LIBRARIES = ('torch', 'torchvision', 'numpy', 'Pillow', 'timm', 'mmcskd')
# Several distributions of one module: the first that is installed counts.
ALTERNATIVES = {
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
    'opencv': (
        'opencv-python',
        'opencv-python-headless',
        'opencv-contrib-python',
        'opencv-contrib-python-headless',
    ),
}


def fingerprint(cfg: Config, seed: int, loader: Any, top_k: Optional[int]) -> Dict[str, Any]:
    """The settings on which the views of a run and its teacher's responses depend.

    Args:
        cfg (mmengine.Config): A training config that distils.
        seed (int): Seed of the run.
        loader (DataLoader): Of the views of this process.
        top_k (int, optional): Classes kept for soft targets.

    Returns:
        dict: Values of JSON types, by config key where there is one.
    """
    model = cfg.model
    views = {key: value for key, value in cfg.train_dataloader.items() if key not in SPEED}
    recorders = (model.get('distiller') or {}).get('teacher_recorders')
    found = {
        'model.teacher': model.get('teacher'),
        WEIGHTS: _weights(model.get('teacher_ckpt')),
        'model.teacher_view': model.get('teacher_view'),
        'model.distiller.teacher_recorders': recorders,
        'model.data_preprocessor': model.get('data_preprocessor'),
        'data_preprocessor': cfg.get('data_preprocessor'),
        'model.distiller.distill_losses grids': _grids(model),
        'model.bank.top_k': top_k,
        'model.distiller.distill_losses temperatures': top_k and _temperatures(model),
        'train_dataloader': views,
        'optim_wrapper.type': _precision(cfg.optim_wrapper),
        'randomness.seed': seed,
        'number of processes': get_world_size(),
        'views of a process in an epoch': len(loader.sampler),
        'classes of train_dataloader.dataset': dataset_classes(loader.dataset),
        **{f'version of {name}': _version((name,)) for name in LIBRARIES},
        **{f'version of {name}': _version(names) for name, names in ALTERNATIVES.items()},
    }
    return plain(found)


def difference(banked: Dict[str, Any], now: Dict[str, Any]) -> Optional[str]:
    """The first difference of two fingerprints.

    Args:
        banked (dict): Fingerprint of the bank.
        now (dict): Fingerprint of this run.

    Returns:
        str | None: A sentence with the key and both values; None if they are equal.
    """
    for key, then, value in differences(banked, now):
        return f'"{key}" was {short(then)} when the bank was made and is {short(value)} now.'
    return None


def identity(banked: Dict[str, Any]) -> str:
    """A digest of a fingerprint, which each shard of the bank carries."""
    text = json.dumps(banked, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def read(root: Path) -> Optional[Dict[str, Any]]:
    """Read a bank's fingerprint.

    Args:
        root (Path): Folder of the bank.

    Returns:
        dict | None: None if there is no bank yet.

    Raises:
        ValueError: If it is damaged.
    """
    path = Path(root) / FILE
    if not path.is_file():
        return None
    try:
        with shallow():
            found = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested without end
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f'"{path}" is damaged, so nothing tells what the bank in model.bank.path belongs to: '
            'make the bank anew with tools/bank_responses.py in another folder.'
        )
    return found


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
    """The wrapper and its dtype, whose default depends on the device."""
    kind = wrapper.get('type', 'OptimWrapper')
    kind = plain(kind)
    amp = type_name(kind).endswith('AmpOptimWrapper')
    return [kind, str(cast_dtype(wrapper.get('dtype'))) if amp else None]


def _weights(path: Optional[str]) -> Optional[str]:
    """The digest of a file; a URL as it is."""
    if path is None or '://' in path:
        return path
    return content_digest(path) or ABSENT


def _version(distributions: Tuple[str, ...]) -> Optional[str]:
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None
