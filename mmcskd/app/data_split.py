"""Copies of a picture, and the split of pictures into train, val and test."""

import hashlib
from collections import defaultdict
from typing import Dict, Iterable, List, Sequence, Tuple

from .image_files import Picture


def drop_copies(
    pictures: Iterable[Picture], held: Dict[str, str]
) -> Tuple[List[Picture], Dict[str, str]]:
    """Keep each picture once, so that it cannot be in two splits.

    Copies with different labels are all dropped, as nothing says which label is right.

    Args:
        pictures (Iterable[Picture]): To train or to split.
        held (dict[str, str]): Path by content of the pictures that a given val or test holds.

    Returns:
        tuple: Those that are kept, by path, and why the others are dropped, by path.
    """
    groups = defaultdict(list)
    for picture in sorted(pictures, key=lambda picture: picture.path):
        groups[picture.content].append(picture)
    kept, dropped = [], {}
    for content, group in groups.items():
        if content in held:
            dropped.update({copy.path: f'is held out too: {held[content]}' for copy in group})
        elif len({copy.label for copy in group}) > 1:
            for copy in group:
                other = next(one for one in group if one.label != copy.label)
                dropped[copy.path] = f'is in another class too: {other.path}'
        else:
            kept.append(group[0])
            dropped.update({copy.path: f'is a copy: {group[0].path}' for copy in group[1:]})
    return kept, dropped


def shares(count: int, val: float, test: float) -> Tuple[int, int]:
    """How many of a class's pictures go to val and test.

    Each gets its share within one picture; val at least one of two, test one of three.

    Args:
        count (int): Pictures of the class.
        val (float): Share of val.
        test (float): Share of test; both together at most a half.

    Returns:
        tuple[int, int]: Pictures of val and of test. The others, at least one, are train.
    """
    of_val = max(round(count * val), 1) if val and count > 1 else 0
    of_test = max(round(count * test), 1) if test and count > 2 - (not val) else 0
    return min(of_val, count - 1 - of_test), of_test


def divide(
    pictures: Sequence[Picture], val: float, test: float, seed: int
) -> Dict[str, List[Picture]]:
    """Split pictures class by class.

    The order is a hash of seed and content: the same for any order of the files and under any
    names.

    Args:
        pictures (Sequence[Picture]): Without copies.
        val (float): Share of val.
        test (float): Share of test.
        seed (int): Another seed gives another split.

    Returns:
        dict[str, list[Picture]]: ``train``, ``val`` and ``test``, each in the order of paths.
    """
    classes = defaultdict(list)
    for picture in pictures:
        classes[picture.label].append(picture)
    parts: Dict[str, List[Picture]] = dict(train=[], val=[], test=[])
    for group in classes.values():
        group.sort(
            key=lambda picture: hashlib.sha256(f'{seed} {picture.content}'.encode()).digest()
        )
        of_val, of_test = shares(len(group), val, test)
        parts['val'] += group[:of_val]
        parts['test'] += group[of_val : of_val + of_test]
        parts['train'] += group[of_val + of_test :]
    return {name: sorted(part, key=lambda picture: picture.path) for name, part in parts.items()}
