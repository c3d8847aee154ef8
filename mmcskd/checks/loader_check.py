"""Refuse a dataloader, a dataset or a pipeline that MMEngine would not build."""

import inspect
from pathlib import Path
from typing import Any, Optional, Sequence, Union

from mmcv.image.geometric import cv2_interp_codes
from mmcv.image.io import imread_flags, supported_backends
from mmengine.dataset import BaseDataset
from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS, TRANSFORMS
from torch.utils.data import DataLoader, Dataset, Sampler

from .part import ANNOTATED, check_keys, check_part, check_value
from .suggest import nearest

# MMPretrain's samplers keep to their annotations too.
SAMPLERS = (*ANNOTATED, 'mmpretrain')
# Keys of torch's DataLoader, whose annotations not every torch can evaluate, and of MMEngine.
OPTIONS = dict(
    batch_size=int, num_workers=int, num_batch_per_epoch=Optional[int], timeout=float,
    prefetch_factor=Optional[int], pin_memory=bool, drop_last=bool, persistent_workers=bool,
    shuffle=Optional[bool], disable_subprocess_warning=bool, pin_memory_device=str,
)  # fmt: skip
# Packages whose transforms keep to their annotations, except these in MMPretrain's own configs.
TRANSFORMERS = (*SAMPLERS, 'mmcv')
LOOSE = ('magnitude_level', 'eigvec', 'input_size')
COLORS = ('pad_val', 'fill_color', 'fill_std')
COLOR = Optional[Union[float, Sequence[float], dict]]
CHOICES = dict(
    interpolation=tuple(cv2_interp_codes),
    backend=('cv2', 'pillow'),
    color_type=tuple(imread_flags),
    imdecode_backend=(None, *supported_backends),
)
# A function gets these arguments by position.
FIRST = ('batch', 'data_batch', 'worker_id')


def check_loader(part: Any, key: str) -> None:
    """Check that a dataloader can be built; its dataset is not read.

    Args:
        part (dict | torch.utils.data.DataLoader | None): The config of the dataloader.
        key (str): Its config key, for messages.

    Raises:
        TypeError: For a value of another type.
        ValueError: For an unknown or missing key or name, a value out of range, or a dataset that
            is not on the disk.
    """
    if not isinstance(part, dict):
        return
    check_keys(part, (*inspect.signature(DataLoader).parameters, *OPTIONS), key)
    for name, hint in OPTIONS.items():
        if name in part:
            check_value(part[name], hint, f'{key}.{name}')
    for name in ('dataset', 'sampler'):
        if name not in part:
            raise ValueError(f'{key} lacks "{name}". ' + nearest(name, part, most=1))
    if 'batch_size' not in part and 'batch_sampler' not in part:
        raise ValueError(f'{key} lacks "batch_size".')
    for name in ('prefetch_factor', 'persistent_workers'):
        if part.get(name) and not part.get('num_workers'):
            raise ValueError(f'{key}.{name} needs {key}.num_workers > 0.')
    _check_dataset(part['dataset'], f'{key}.dataset')
    for name, given in (('sampler', ('dataset',)), ('batch_sampler', ('sampler', 'batch_size'))):
        value = part.get(name)
        if not isinstance(value, Sampler) and (name == 'sampler' or value is not None):
            check_part(value, DATA_SAMPLERS, f'{key}.{name}', given=given, annotated=SAMPLERS)
    for name in ('collate_fn', 'worker_init_fn'):
        value = part.get(name)
        if isinstance(value, dict):
            check_part(value, FUNCTIONS, f'{key}.{name}', given=FIRST)
        elif name in part and not callable(value):
            raise TypeError(f'{key}.{name} is {value!r}, expected dict(type=…).')


def _check_dataset(part: Any, key: str) -> None:
    if isinstance(part, Dataset):
        return
    kind = check_part(part, DATASETS, key, given=('dataset', 'datasets', 'pipeline'))
    parameters = inspect.signature(kind).parameters
    for name in ('dataset', 'datasets'):
        if name in parameters and name not in part:
            raise ValueError(f'{key} lacks "{name}", which {kind.__name__} needs.')
    root = part.get('data_root') or ''
    local = isinstance(root, str) and '://' not in root and not part.get('download')
    if local and not Path(root).exists():
        raise ValueError(
            f'{key}.data_root="{root}" does not exist (looked in {Path.cwd()}): put the dataset '
            f'there, link it, or set {key}.data_root.'
        )
    if 'dataset' in part:
        _check_dataset(part['dataset'], f'{key}.dataset')
    several = part.get('datasets', ())
    if not isinstance(several, (list, tuple)):
        raise TypeError(f'{key}.datasets is {several!r}, expected a list.')
    for place, inner in enumerate(several):
        _check_dataset(inner, f'{key}.datasets.{place}')
    if inspect.isclass(kind) and issubclass(kind, BaseDataset) and not part.get('pipeline'):
        raise ValueError(
            f'{key}.pipeline is missing or empty: without PackInputs the model gets no images. '
            + nearest('pipeline', [name for name in part if name not in parameters], most=1)
        )
    pipeline = part.get('pipeline', ())
    if not isinstance(pipeline, (list, tuple)):
        raise TypeError(f'{key}.pipeline is {pipeline!r}, expected a list of transforms.')
    for place, each in enumerate(pipeline):
        if not callable(each):
            name = f'{key}.pipeline.{place}'
            kind = check_part(each, TRANSFORMS, name, given=LOOSE, annotated=TRANSFORMERS)
            if kind.__module__.startswith(('mmcv.', 'mmpretrain.')):
                _check_options(each, name)


def _check_options(part: Any, key: str) -> None:
    """Values that MMCV and MMPretrain check at the first image only."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        place = f'{key}.{name}'
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f'{place} is {value!r}. ' + nearest(str(value), CHOICES[name]))
        if name in COLORS:
            check_value(value, COLOR, place)
        elif isinstance(value, (dict, list)):
            _check_options(value, place)
