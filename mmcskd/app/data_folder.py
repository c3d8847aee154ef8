"""Look at a user's data before anything is trained on it."""

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Dict, List, Union

from .data_config import inspect_config
from .data_found import SPLITS, DataFound, digest_of, kinds_of, sizes_of
from .data_listing import Listing, list_annotations, list_data
from .data_split import divide, drop_copies
from .image_files import Picture, read_pictures, shown


def inspect(
    data: Union[str, Path],
    out: Union[str, Path],
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> DataFound:
    """Look at every picture of a user's data, split them, and write down what was found.

    A picture counts if :class:`~mmcskd.LoadWholeImage` decodes it. Where the data have no val, it
    is a share of train, drawn class by class; where they have train alone, test is too. A second
    call with the same files and arguments reads what the first has written.

    Args:
        data (str | Path): Folder of class folders; folder of ``train``, ``val`` and ``test`` with
            class folders; or annotation file of MMPretrain, ``.txt`` with lines ``path label``,
            relative to its folder, with ``classes.txt`` beside it if the classes have names; or
            config, a file ``.py`` or ``'mmpretrain::…'``, whose datasets are used as they are.
        out (str | Path): Folder of the run; writes ``found.json``, ``classes.txt`` and an
            annotation file for each split into its folder ``data``.
        val (float): Share of val, more than 0. Defaults to 0.15.
        test (float): Share of test. Defaults to 0.15.
        seed (int): Of the split. Defaults to 0.

    Returns:
        DataFound: What was found.

    Raises:
        ValueError: If the data cannot be used, in one sentence.
    """
    if not 0 < val < 1 or not 0 <= test < 1 or val + test > 0.5:
        raise ValueError(
            f'--val {val} and --test {test}: expected shares of at most 0.5 together, val above 0.'
        )
    folder = Path(os.path.abspath(os.path.expanduser(out))) / 'data'
    if str(data).endswith('.py') or '::' in str(data):
        return inspect_config(str(data), folder)
    place = Path(os.path.abspath(os.path.expanduser(data)))
    if shown(str(place)) != str(place):
        raise ValueError(f'DATA "{shown(str(place))}" has a path that does not print: rename it.')
    if not place.exists():
        raise ValueError(f'DATA "{shown(str(data))}" does not exist.')
    if place.is_dir():
        if place in folder.parents:
            raise ValueError(f'--out "{out}" lies in DATA "{data}": name a folder outside it.')
        listing = list_data(place)
    elif place.suffix == '.txt':
        listing = list_annotations(place)
    else:
        raise ValueError(
            f'DATA "{shown(str(data))}" is a file of another kind: expected a folder with a folder '
            'of pictures for each class (unpacked), an annotation file (.txt) or a config (.py).'
        )
    fingerprint = listing.fingerprint(val, test, seed)
    found = DataFound.read(folder, fingerprint)
    if found is None:
        found = _look(listing, folder, val, test, seed)
        found.listing = fingerprint
        found.write()
    return found


def _look(listing: Listing, out: Path, val: float, test: float, seed: int) -> DataFound:
    """Read the pictures, drop copies, split."""
    # A file that is listed twice is read once.
    named = {item: None for part in listing.parts.values() for item in part}
    pictures, faults = read_pictures(listing.root, list(named))
    faults = {**listing.faults, **faults}
    notes = list(listing.notes)
    by_item = {(picture.path, picture.label): picture for picture in pictures}
    parts = {
        split: [by_item[item] for item in dict.fromkeys(part) if item in by_item]
        for split, part in listing.parts.items()
    }
    held: Dict[str, str] = {}
    for split in ('test', 'val'):
        kept = [picture for picture in parts.get(split, ()) if picture.content not in held]
        for picture in parts.get(split, ()):
            if picture.content in held:
                faults[picture.path] = f'is held out too: {held[picture.content]}'
        if split in parts:
            parts[split] = sorted(kept, key=lambda picture: picture.path)
        held.update({picture.content: picture.path for picture in kept})
    train, dropped = drop_copies(parts['train'], held)
    faults.update(dropped)
    if 'val' in parts:
        parts['train'] = train
    else:
        drawn = divide(train, val, 0 if 'test' in parts else test, seed)
        parts = {**parts, **{name: part for name, part in drawn.items() if part}}
        notes.append(f'The data have no val: it is drawn from train with --seed {seed}.')
    classes = _classes(listing, parts, faults, notes)
    labels = {name: label for label, name in enumerate(classes)}
    splits = {
        split: [(picture.path, labels[picture.label]) for picture in parts[split]]
        for split in SPLITS
        if parts.get(split)
    }
    if 'val' not in splits:
        raise ValueError(
            f'DATA "{shown(str(listing.root))}": no picture is left for val, as no class of train '
            'has two, or val has none of these classes.'
        )
    kept = [picture for part in parts.values() for picture in part]
    counts = {
        split: {**dict.fromkeys(classes, 0), **Counter(classes[label] for _, label in part)}
        for split, part in splits.items()
    }
    notes += _notes(counts, kept)
    return DataFound(
        root=str(listing.root),
        out=str(out),
        classes=classes,
        counts=counts,
        size=sizes_of([picture.size for picture in kept]),
        left_out=[dict(file=shown(path), reason=shown(faults[path])) for path in sorted(faults)],
        duplicates=_duplicates(pictures, parts),
        notes=notes,
        listing='',
        digest=digest_of(splits, {picture.path: picture.content for picture in kept}),
        splits=splits,
    )


def _classes(
    listing: Listing, parts: Dict[str, List[Picture]], faults: Dict[str, str], notes: List[str]
) -> List[str]:
    """Names of the classes; what train lacks is left out of the other splits."""
    learned = {picture.label for picture in parts['train']}
    listed = {label for part in listing.parts.values() for _, label in part}
    classes = sorted(learned) if listing.classes is None else listing.classes
    for name in sorted(set(listing.classes or listed) - learned):
        notes.append(f'Class "{shown(name)}" has no picture in train that can be used.')
    for split in ('val', 'test'):
        for picture in parts.get(split, ()):
            if picture.label not in learned:
                faults[picture.path] = f'is of a class that train lacks: {picture.label}'
        if split in parts:
            parts[split] = [picture for picture in parts[split] if picture.label in learned]
    if len(learned) < 2:
        place = shown(str(listing.root))
        inside = ''
        if len(learned) == 1 and listing.classes is None:
            inside = f'; if its folders are the classes, name "{place}/{shown(*learned)}"'
        first = next((f'{shown(p)} {shown(r)}' for p, r in sorted(faults.items())), 'none')
        raise ValueError(
            f'DATA "{place}" has pictures of {len(learned)} class{"es" * (not learned)}, '
            f'expected 2 or more class folders{inside} (left out: {len(faults)}, first: {first}).'
        )
    return classes


def _notes(counts: Dict[str, Dict[str, int]], kept: List[Picture]) -> List[str]:
    notes = []
    for split in ('val', 'test'):
        lacking = [name for name in counts['train'] if counts.get(split, {}).get(name) == 0]
        lacking = [name for name in lacking if counts['train'][name]]
        if lacking:
            names = ', '.join(shown(name) for name in lacking[:5])
            more = f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''
            notes.append(f'No picture in {split}, so no accuracy there, for: {names}{more}.')
    return notes + kinds_of(kept)


def _duplicates(
    pictures: List[Picture], parts: Dict[str, List[Picture]]
) -> List[Dict[str, List[str]]]:
    """Files of equal content and the splits that keep one."""
    places = {picture.path: split for split, part in parts.items() for picture in part}
    groups = defaultdict(set)
    for picture in pictures:
        groups[picture.content].add(picture.path)
    return [
        dict(
            files=[shown(path) for path in sorted(group)],
            splits=sorted({places[path] for path in group if path in places}),
        )
        for group in groups.values()
        if len(group) > 1
    ]
