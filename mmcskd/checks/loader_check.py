"""Refuse a dataloader that MMEngine would not build, or whose transforms fail."""

import copy
import inspect
from typing import Any, Optional

from mmengine.dataset import BaseDataset
from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS, TRANSFORMS
from torch.utils.data import DataLoader, Dataset, Sampler

from .config_check import check_keys, check_part
from .named_part import built, check_given, check_named, check_value
from .suggest import nearest

LOADER_OPTIONS = dict(
    batch_size=int, num_workers=int, num_batch_per_epoch=Optional[int], prefetch_factor=Optional[int],
    timeout=float, pin_memory=bool, drop_last=bool, persistent_workers=bool, shuffle=Optional[bool],
    disable_subprocess_warning=bool, pin_memory_device=str,
)  # fmt: skip
# The argument that the loader gives them.
FIRST = ('batch', 'data_batch', 'worker_id')


def check_loader(part: Any, key: str) -> None:
    """Whether a dataloader can be built, but for its dataset, which is not read.

    Args:
        part (dict | torch.utils.data.DataLoader | None): The config of the dataloader.
        key (str): Where it stands, for messages.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    if not isinstance(part, dict):
        return
    check_keys(part, (*inspect.signature(DataLoader).parameters, *LOADER_OPTIONS), key)
    for name, hint in LOADER_OPTIONS.items():
        check_value(part, name, hint, key)
    for name in ('dataset', 'sampler'):
        if name not in part:
            raise ValueError(f'{key} lacks "{name}". ' + nearest(name, part, most=1))
    if 'batch_size' not in part and 'batch_sampler' not in part:
        raise ValueError(f'{key} lacks "batch_size".')
    if part.get('prefetch_factor') is not None and not part.get('num_workers'):
        raise ValueError(f'{key}.prefetch_factor needs {key}.num_workers > 0.')
    if part.get('persistent_workers') and not part.get('num_workers'):
        raise ValueError(f'{key}.persistent_workers needs {key}.num_workers > 0.')
    _check_dataset(part['dataset'], f'{key}.dataset')
    for name, given in (('sampler', ('dataset',)), ('batch_sampler', ('sampler', 'batch_size'))):
        value = part.get(name)
        if not isinstance(value, Sampler) and (name == 'sampler' or value is not None):
            kind = check_named(value, DATA_SAMPLERS, f'{key}.{name}', given)
            check_given(kind, value, f'{key}.{name}', left_out=given)
    for name in ('collate_fn', 'worker_init_fn'):
        value = part.get(name)
        if isinstance(value, dict):
            # What the loader hands over has no name.
            check_part(value, FUNCTIONS, f'{key}.{name}', given=FIRST)
        elif name in part and not callable(value):
            raise TypeError(f'{key}.{name} is {value!r}, expected dict(type=…).')


def _check_dataset(part: Any, key: str) -> None:
    if isinstance(part, Dataset):
        return
    kind = check_named(part, DATASETS, key, given=('dataset', 'datasets', 'pipeline'))
    parameters = inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters
    for name in ('dataset', 'datasets'):
        if name in parameters and name not in part:
            raise ValueError(f'{key} lacks "{name}", which {kind.__name__} needs.')
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
    check_pipeline(part.get('pipeline', ()), f'{key}.pipeline')


def check_pipeline(part: Any, key: str) -> None:
    """Whether all transforms of a pipeline can be built.

    Args:
        part (Sequence[dict]): The pipeline.
        key (str): Where it stands, for messages.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    if not isinstance(part, (list, tuple)):
        raise TypeError(f'{key} is {part!r}, expected a list of transforms.')
    for place, each in enumerate(part):
        if callable(each):
            continue
        name = f'{key}.{place}'
        check_named(each, TRANSFORMS, name)
        built(name, each, TRANSFORMS.build, copy.deepcopy(each))
