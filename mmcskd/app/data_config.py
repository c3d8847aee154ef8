"""The datasets of a config as a user's data."""

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from .data_found import SPLITS, DataFound, digest_of, kinds_of, sizes_of, with_pipeline
from .image_files import read_pictures, shown

# Files of a split that are looked at; a config may name a million.
LOOKED_AT = 2000


def inspect_config(data: str, out: Path) -> DataFound:
    """Look at the datasets of a config, which are used as they are.

    Args:
        data (str): A file, or ``'mmpretrain::…'`` for one of a package's own.
        out (Path): ``OUT/data``.

    Returns:
        DataFound: With ``datasets``. Nothing is left out. Paths are absolute; of a dataset that
            keeps its pictures in memory they are split and number.

    Raises:
        ValueError: If the config cannot be read, lacks a dataset, or one cannot be built or has
            other classes than train.
    """
    try:
        cfg = get_config(data) if '::' in data else Config.fromfile(data)
    except Exception as error:  # a missing file, package or entry, each with another error
        raise ValueError(f'DATA "{data}" cannot be read ({type(error).__name__}: {error}).') from (
            error
        )
    datasets = dict(_datasets(cfg, data))
    classes: List[str] = []
    splits: Dict[str, List[Tuple[str, int]]] = {}
    sample: List[dict] = []
    notes = ['The datasets are those of the config: nothing is left out of them.']
    for split, dataset in datasets.items():
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
            try:
                names, infos = _contents(dataset)
                labels = [int(info['gt_label']) for info in infos]
            except Exception as error:  # of any dataset
                raise ValueError(
                    f'DATA "{data}": {split}_dataloader.dataset is no data for classification '
                    f'({type(error).__name__}: {error}).'
                ) from error
        classes = classes or names or [str(label) for label in range(max(labels, default=0) + 1)]
        if not labels or names not in ([], classes) or max(labels) >= len(classes):
            raise ValueError(
                f'DATA "{data}": {split}_dataloader.dataset has {len(labels)} pictures with '
                f'{len(names) or "unnamed"} classes, expected the {len(classes)} classes of '
                'train_dataloader.dataset.'
            )
        paths = [_path(info, f'{split}/{number}') for number, info in enumerate(infos)]
        splits[split] = list(zip(paths, labels))
        every = -(-len(infos) // LOOKED_AT)
        sample += infos[::every]
        notes += [f'Of {split}, one picture in {every} was looked at.'] * (every > 1)
        both = {path for path, _ in splits['train']} & set(paths) if split != 'train' else ()
        if both:
            notes.append(f'{len(both):,} files of train are in {split} too, as {shown(min(both))}.')
    files = sorted({_path(info, '') for info in sample} - {''})
    pictures, faults = read_pictures(Path('/'), [(file, '') for file in files])
    notes += [f'{shown(path)} {reason}, and stays in the data.' for path, reason in faults.items()]
    sizes = [picture.size for picture in pictures]
    sizes += [(info['img'].shape[1], info['img'].shape[0]) for info in sample if 'img' in info]
    if not sizes:
        raise ValueError(f'DATA "{data}" has no picture that can be read: {notes[-1]}')
    found = DataFound(
        root=data,
        out=str(out),
        classes=classes,
        counts={split: _counts(part, classes) for split, part in splits.items()},
        size=sizes_of(sizes),
        left_out=[],
        duplicates=[],
        notes=notes + kinds_of(pictures),
        listing='',
        digest=digest_of(splits, {picture.path: picture.content for picture in pictures}),
        splits=splits,
        datasets=datasets,
        custom_imports=list((cfg.get('custom_imports') or {}).get('imports', [])),
    )
    found.write()
    return found


def _datasets(cfg: Config, data: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """The dataset of each split; test only if it is another than val."""
    given: Dict[str, Any] = {
        split: (cfg.get(f'{split}_dataloader') or {}).get('dataset') for split in SPLITS
    }
    for split in ('train', 'val'):
        if given[split] is None:
            raise ValueError(f'DATA "{data}" has no {split}_dataloader.dataset.')
        yield split, given[split].to_dict()
    if given['test'] not in (None, given['val']):
        yield 'test', given['test'].to_dict()


def _contents(dataset: Dict[str, Any]) -> Tuple[List[str], Sequence[dict]]:
    """Names of classes, if the dataset has them, and what it has of each picture."""
    built = DATASETS.build(with_pipeline(dataset, []))
    names = [str(name) for name in built.metainfo.get('classes') or ()]
    return names, [built.get_data_info(index) for index in range(len(built))]


def _path(info: dict, otherwise: str) -> str:
    path = info.get('img_path', otherwise)
    return os.path.abspath(path) if 'img_path' in info and '://' not in path else path


def _counts(part: List[Tuple[str, int]], classes: List[str]) -> Dict[str, int]:
    counts = np.bincount([label for _, label in part], minlength=len(classes))
    return dict(zip(classes, counts.tolist()))
