"""What an inspection of a user's data found."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.fileio import list_from_file

from ..runs.atomic_file import AtomicBackend
from .image_files import KINDS, Picture, shown

SPLITS = ('train', 'val', 'test')


@dataclass
class DataFound:
    """Classes, splits and faults of a user's data, as ``OUT/data/found.json`` has them.

    Attributes:
        root (str): What the paths of pictures are relative to.
        out (str): Absolute path of ``OUT/data``.
        classes (list[str]): Names, in the order of the labels.
        counts (dict[str, dict[str, int]]): Pictures by split and class; without ``test`` if there
            is none.
        size (dict[str, list[int]]): ``median``, ``min`` and ``max`` width and height.
        left_out (list[dict[str, str]]): ``file`` and ``reason``.
        duplicates (list[dict[str, list[str]]]): ``files`` of equal content and their ``splits``.
        notes (list[str]): Sentences about what a user may not expect.
        listing (str): Fingerprint of the files' names and times and of the arguments.
        digest (str): Fingerprint of what a run reads: paths, labels and contents, in any folder.
        splits (dict[str, list[tuple[str, int]]]): Path and label of each picture by split.
        datasets (dict[str, dict]): Of a config as data, its datasets by split.
        custom_imports (list[str]): Modules that a config with these datasets imports.
    """

    root: str
    out: str
    classes: List[str]
    counts: Dict[str, Dict[str, int]]
    size: Dict[str, List[int]]
    left_out: List[Dict[str, str]]
    duplicates: List[Dict[str, List[str]]]
    notes: List[str]
    listing: str
    digest: str
    splits: Dict[str, List[Tuple[str, int]]] = field(repr=False)
    datasets: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    custom_imports: List[str] = field(default_factory=list)

    def split(self, name: str) -> List[Tuple[str, int]]:
        """Path, relative to the root, and label of each picture of ``train``, ``val``, ``test``."""
        return self.splits[name]

    def dataset(self, split: str, pipeline: Sequence[dict]) -> Dict[str, Any]:
        """The dataset of a split in a config of MMPretrain.

        Args:
            split (str): ``'train'``, ``'val'`` or ``'test'``.
            pipeline (Sequence[dict]): Transforms, the first of type ``LoadWholeImage``.

        Returns:
            dict: Of type ``CustomDataset``, with absolute paths; or a config's own dataset with
            this pipeline, of which what loads stays the config's.
        """
        if self.datasets:
            return with_pipeline(self.datasets[split], pipeline)
        return dict(
            type='CustomDataset',
            data_root=self.root,
            ann_file=str(Path(self.out) / f'{split}.txt'),
            metainfo=dict(classes=list(self.classes)),
            pipeline=list(pipeline),
        )

    def lines(self) -> List[str]:
        """What was found, for the terminal."""
        counts = {name: sum(classes.values()) for name, classes in self.counts.items()}
        train = Counter(self.counts['train'])
        most, fewest = train.most_common()[0], train.most_common()[-1]
        width, height = self.size['median']
        lines = [
            f'{sum(counts.values()):,} pictures of {len(self.classes)} classes in '
            f'{shown(self.root)}: '
            + ', '.join(f'{name} {count:,}' for name, count in counts.items()),
            f'Median size {width} x {height}; of train, class "{shown(most[0])}" has '
            f'{most[1]:,} pictures and "{shown(fewest[0])}" {fewest[1]:,}',
        ]
        reasons: Dict[str, List[Dict[str, str]]] = {}
        for entry in self.left_out:
            reasons.setdefault(entry['reason'].split(':')[0], []).append(entry)
        for entries in sorted(reasons.values(), key=len, reverse=True)[:5]:
            first = f'{entries[0]["file"]} {entries[0]["reason"]}'
            if len(entries) == 1:
                lines.append(f'Left out: {first}')
            else:
                lines.append(f'Left out, {len(entries):,} files of one kind: {first}')
        lines += self.notes[:5]
        if len(reasons) > 5 or len(self.notes) > 5:
            lines.append(f'… and more in {shown(str(Path(self.out) / "found.json"))}')
        return lines

    def write(self) -> None:
        """Write annotation files, ``classes.txt`` and, last, ``found.json`` below ``out``."""
        files = AtomicBackend()
        folder = Path(self.out)
        for name in SPLITS:
            if name in self.splits:
                text = ''.join(f'{path} {label}\n' for path, label in self.splits[name])
                files.put_text(text, folder / f'{name}.txt')
            else:
                (folder / f'{name}.txt').unlink(missing_ok=True)
        files.put_text(''.join(f'{name}\n' for name in self.classes), folder / 'classes.txt')
        aside = ('out', 'splits', 'datasets', 'custom_imports')
        record = {key: value for key, value in vars(self).items() if key not in aside}
        files.put_text(
            json.dumps(record, indent=1, ensure_ascii=False) + '\n', folder / 'found.json'
        )

    @classmethod
    def read(cls, out: Path, listing: Optional[str] = None) -> Optional['DataFound']:
        """What was written into a folder.

        Args:
            out (Path): ``OUT/data``.
            listing (str, optional): Fingerprint that it must be of. Defaults to None: any.

        Returns:
            DataFound | None: None if there is none of that fingerprint.
        """
        try:
            record = json.loads((out / 'found.json').read_text(encoding='utf-8'))
            if listing not in (None, record['listing']):
                return None
            splits = {}
            for name in record['counts']:
                lines = (line.rsplit(' ', 1) for line in list_from_file(str(out / f'{name}.txt')))
                splits[name] = [(path, int(label)) for path, label in lines]
            return cls(out=str(out), splits=splits, **record)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
        ):  # absent, cut short, another version
            return None


def with_pipeline(dataset: Dict[str, Any], pipeline: Sequence[dict]) -> Dict[str, Any]:
    """A dataset, or those that it wraps, with other transforms behind those that load."""
    dataset = dict(dataset)
    inner = dataset.get('dataset')
    if isinstance(inner, dict):
        dataset['dataset'] = with_pipeline(inner, pipeline)
    elif isinstance(dataset.get('datasets'), list):
        dataset['datasets'] = [with_pipeline(each, pipeline) for each in dataset['datasets']]
    else:
        own = dataset.get('pipeline') or ()
        if own:  # without a step that loads, pictures come from memory
            pipeline = [s for s in own if _loads(s)] + [s for s in pipeline if not _loads(s)]
        dataset['pipeline'] = list(pipeline)
    return dataset


def _loads(step: Dict[str, Any]) -> bool:
    return 'Load' in str(step['type'])


def digest_of(splits: Dict[str, List[Tuple[str, int]]], contents: Mapping[str, str]) -> str:
    """Fingerprint of splits, given the digests of their pictures by path."""
    lines = (
        f'{split} {path} {label} {contents.get(path, "")}\n'
        for split in SPLITS
        for path, label in splits.get(split, ())
    )
    return hashlib.sha256(''.join(lines).encode()).hexdigest()


def sizes_of(sizes: Sequence[Tuple[int, int]]) -> Dict[str, List[int]]:
    """``median``, ``min`` and ``max`` of width and of height."""
    sides = list(zip(*sizes))
    return dict(
        median=[median_low(values) for values in sides],
        min=[min(values) for values in sides],
        max=[max(values) for values in sides],
    )


def kinds_of(pictures: Sequence[Picture]) -> List[str]:
    """Sentences about pictures that are read in a way that a user may not expect."""
    kinds = Counter(kind for picture in pictures for kind in picture.kinds)
    return [f'Pictures that {KINDS[kind]}: {count:,}.' for kind, count in kinds.most_common()]
