"""List the files of a user's data: folders of classes or splits, or an annotation file."""

import hashlib
import json
import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import cv2
from mmengine.fileio import list_from_file

from ..version import __version__
from .data_found import SPLITS
from .image_files import list_folder, list_images, shown

# Names of folders that are splits, by split.
ROLES = dict(
    train=('train', 'training'),
    val=('val', 'valid', 'validation'),
    test=('test', 'testing'),
)


@dataclass
class Listing:
    """Files of the splits that were given, before they are read.

    Attributes:
        root (Path): What the paths are relative to.
        parts (dict[str, list[tuple[str, str]]]): Path and class of each file, by split.
        faults (dict[str, str]): Why files are left out, by path.
        notes (list[str]): Sentences for the user.
        classes (list[str]): Names in the order of the labels, if the data state it.
    """

    root: Path
    parts: Dict[str, List[Tuple[str, str]]]
    faults: Dict[str, str]
    notes: List[str] = field(default_factory=list)
    classes: Optional[List[str]] = None

    def fingerprint(self, *settings) -> str:
        """Digest of settings, versions, names, sizes and times of the files."""
        files = []
        for name, part in self.parts.items():
            for path, label in part:
                try:
                    status = os.stat(self.root / path)
                    files.append((name, path, label, status.st_size, status.st_mtime_ns))
                except OSError:
                    files.append((name, path, label, 0, 0))
        versions = __version__, cv2.__version__
        text = json.dumps([str(self.root), settings, versions, self.classes, self.faults, files])
        return hashlib.sha256(text.encode()).hexdigest()


def list_data(root: Path) -> Listing:
    """List a folder of class folders, or of splits with class folders."""
    folders, files, faults = list_folder(root, root)
    if str(faults.get('.')).startswith('cannot be read'):
        raise ValueError(f'DATA "{shown(str(root))}" {faults["."]}.')
    places = _splits(root, folders, faults)
    faults.update(dict.fromkeys(files, 'is in no class folder'))
    listing = Listing(root, {}, faults)
    for role, place in places.items():
        listing.parts[role] = _list_classes(place, listing)
    return listing


def _splits(root: Path, folders: List[str], faults: Dict[str, str]) -> Dict[str, Path]:
    """Folders of class folders by split; all of the data is train if they have no splits."""
    roles = {
        name: role for name in folders for role, names in ROLES.items() if name.lower() in names
    }
    sorted_in = {name for name in roles if list_folder(root / name, root)[0]}
    taught = any(roles[name] == 'train' for name in sorted_in)
    # Of pictures alone, or the only one among other folders, 'train' is a class.
    if not taught or len(roles) == 1 < len(folders):
        if len(roles) == len(folders) > 1:
            raise ValueError(
                f'DATA "{shown(str(root))}" has {", ".join(sorted(roles))}: expected a folder of '
                'class folders as train.'
            )
        return dict(train=root)
    places: Dict[str, Path] = {}
    for name in folders:
        if name not in roles:
            faults[name] = 'is no split: expected train, val, test'
        elif name not in sorted_in:
            faults[name] = 'is a split without class folders'
        elif roles[name] in places:
            raise ValueError(
                f'DATA "{shown(str(root))}" has two folders for one split: '
                f'{places[roles[name]].name}, {name}.'
            )
        else:
            places[roles[name]] = root / name
    return places


def _list_classes(folder: Path, listing: Listing) -> List[Tuple[str, str]]:
    """Files of class folders with the names of their classes."""
    part: List[Tuple[str, str]] = []
    folders, files, faults = list_folder(folder, listing.root)
    listing.faults.update(faults)
    listing.faults.update(dict.fromkeys(files, 'is in no class folder'))
    for name in folders:
        images, faults = list_images(listing.root / name, listing.root)
        listing.faults.update(faults)
        # A name with accents is written in two ways, which look the same.
        label = unicodedata.normalize('NFC', os.path.basename(name))
        part += [(image, label) for image in images]
        if not images:
            listing.notes.append(f'Class folder "{shown(name)}" has no image files.')
        elif any(os.path.dirname(image) != name for image in images):
            listing.notes.append(
                f'Class folder "{shown(name)}" has folders: their pictures are of the same class.'
            )
    return part


def list_annotations(file: Path) -> Listing:
    """List an annotation file of MMPretrain, and val.txt and test.txt beside a train.txt."""
    root = file.parent
    files = dict(train=file)
    if file.name == 'train.txt':
        files.update({n: root / f'{n}.txt' for n in SPLITS[1:] if (root / f'{n}.txt').exists()})
    names = root / 'classes.txt'
    classes = list_from_file(str(names)) if names.exists() else None
    while classes and not classes[-1].strip():
        classes.pop()
    parts: Dict[str, List[Tuple[str, str]]] = {}
    for split, source in files.items():
        parts[split] = []
        try:
            lines = list_from_file(str(source))
        except UnicodeDecodeError:
            raise ValueError(f'DATA "{shown(str(source))}" is no text in UTF-8.') from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(' ')
            if not path or not label.isdecimal() or classes and int(label) >= len(classes):
                known = f' below {len(classes)}, as classes.txt has names' if classes else ''
                raise ValueError(
                    f'DATA "{shown(str(source))}", line {number}, is "{shown(line)}": expected a '
                    f'path, a blank and a label, a whole number{known}.'
                )
            parts[split].append((path, classes[int(label)] if classes else str(int(label))))
    if classes is None:
        labels = {label for part in parts.values() for _, label in part}
        classes = sorted(labels, key=int)
    return Listing(root, parts, {}, classes=classes)
