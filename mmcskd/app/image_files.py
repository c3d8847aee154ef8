"""The pictures of a folder as training reads them, and what is wrong with the other files."""

import hashlib
import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from tqdm import tqdm

from ..runs.load_whole_image import BrokenImage, LoadWholeImage

# Of the formats that OpenCV decodes.
JPEG_AND_PNG = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png')
OTHERS = ('.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm', '.jp2', '.avif')
SUFFIXES = frozenset(JPEG_AND_PNG + OTHERS)
# Kept by operating systems and file servers beside a user's files; names with a dot are hidden too.
HIDDEN = frozenset({'__MACOSX', 'Thumbs.db', 'desktop.ini', '@eaDir', 'lost+found'})
# What a user would not expect of a picture as it is read, by the name in Picture.kinds.
KINDS = dict(
    grey='are grey, read as three equal channels',
    CMYK='are CMYK, converted to RGB without their colour profile',
    deep='have 16 bits a channel, of which the upper 8 are read',
    alpha='have an alpha channel, which is ignored: what lies under transparent places is seen',
    animated='have several frames or pages, of which the first is read',
    turned='are turned upright by the orientation in their EXIF data',
)


@dataclass(frozen=True)
class Picture:
    """A picture that training can read.

    Attributes:
        path (str): Relative to the root of the data.
        label (str): Name of its class.
        content (str): Digest of the file; equal for copies.
        size (tuple[int, int]): Width and height as decoded.
        kinds (tuple[str]): Keys of ``KINDS``.
    """

    path: str
    label: str
    content: str
    size: Tuple[int, int]
    kinds: Tuple[str, ...]


def shown(path: str) -> str:
    """A path that prints on one line in any encoding of a terminal that knows UTF-8."""
    text = path.encode('utf-8', 'backslashreplace').decode()
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


def list_folder(folder: Path, root: Path) -> Tuple[List[str], List[str], Dict[str, str]]:
    """What lies in a folder.

    Args:
        folder (Path): The folder.
        root (Path): What the names are relative to.

    Returns:
        tuple: Names of folders and of files, both sorted, and why others are left out, by name.
    """
    folders, files, faults = [], [], {}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        return [], [], {os.path.relpath(folder, root): f'cannot be read: {error.strerror}'}
    for entry in entries:
        name = os.path.relpath(entry.path, root)
        if entry.name.startswith('.') or entry.name in HIDDEN:
            faults[name] = 'is hidden'
            continue
        try:
            mode = os.stat(entry.path).st_mode
        except OSError:
            faults[name] = 'is a link that leads nowhere'
            continue
        if stat.S_ISDIR(mode):
            folders.append(name)
        elif stat.S_ISREG(mode):
            files.append(name)
        else:
            faults[name] = 'is no regular file'
    return folders, files, faults


def list_images(folder: Path, root: Path) -> Tuple[List[str], Dict[str, str]]:
    """Image files below a folder, through links.

    Args:
        folder (Path): The folder.
        root (Path): What the names are relative to.

    Returns:
        tuple: Names, sorted, and why other files are left out, by name.
    """
    images: List[str] = []
    faults: Dict[str, str] = {}
    # A link to a folder that holds it would read the data again.
    seen = {_identity(parent) for parent in Path(os.path.realpath(folder)).parents}
    waiting = [os.path.relpath(folder, root)]
    while waiting:
        name = waiting.pop()
        identity = _identity(root / name)
        if identity in seen:
            faults[name] = 'is a link to a folder that is read already'
            continue
        seen.add(identity)
        folders, files, wrong = list_folder(root / name, root)
        waiting += reversed(folders)
        faults.update(wrong)
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            if suffix in SUFFIXES:
                images.append(file)
            else:
                faults[file] = f'is no image by its name: {suffix or "no suffix"}'
    return sorted(images), faults


def _identity(folder: Path) -> Tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def read_pictures(
    root: Path, listed: Sequence[Tuple[str, str]]
) -> Tuple[List[Picture], Dict[str, str]]:
    """Decode files as :class:`~mmcskd.LoadWholeImage` does, several at a time.

    Args:
        root (Path): Of the data.
        listed (Sequence[tuple[str, str]]): Path relative to the root and name of the class.

    Returns:
        tuple: The pictures, in order, and why the others are left out, by path.
    """
    decoder = LoadWholeImage()

    def read(item: Tuple[str, str]) -> Union[Picture, str]:
        try:
            return _read(decoder, root, *item)
        except BrokenImage as fault:
            return str(fault)
        except OSError as error:
            return f'cannot be read: {error.strerror or error}'
        except Exception as error:  # of a decoder
            return f'cannot be decoded: {type(error).__name__}'

    pictures, faults = [], {}
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        # Of Pillow, about large or odd files that OpenCV reads.
        warnings.simplefilter('ignore')
        results = pool.map(read, listed)
        # On a terminal, if it takes more than a second.
        options = dict(desc='Reading pictures', delay=1, leave=False, disable=None)
        bar = tqdm(results, total=len(listed), **options)
        for (path, _), result in zip(listed, bar):
            if isinstance(result, Picture):
                pictures.append(result)
            else:
                faults[path] = result
    return pictures, faults


def _read(decoder: LoadWholeImage, root: Path, path: str, label: str) -> Picture:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BrokenImage('has a name that is no UTF-8') from None
    # MMPretrain's annotation files have a line for a picture and strip blanks before it.
    if {'\n', '\r'} & set(path) or path != path.lstrip():
        raise BrokenImage('has a line break in its path, or a blank before it: rename it')
    file = root / path
    if not file.exists():
        raise BrokenImage('does not exist')
    if not file.is_file():
        raise BrokenImage('is no regular file')
    content = file.read_bytes()
    size, orientation, kinds, form = _header(content)
    try:
        image = decoder.decode(content)
    except BrokenImage as fault:
        if form and str(fault) == 'is no image':
            raise BrokenImage(f'is an image that OpenCV does not decode: {form}') from None
        raise
    read = image.shape[1], image.shape[0]
    if form == 'AVIF' and orientation > 1 or size not in (None, read):
        raise BrokenImage(f'is not read upright and whole by OpenCV: {form}')
    return Picture(path, label, hashlib.sha256(content).hexdigest(), read, kinds)


def _header(content: bytes) -> Tuple:
    """Upright size, EXIF orientation, kinds and format, without decoding the pixels."""
    try:
        with Image.open(BytesIO(content)) as image:
            mode, form = image.mode, image.format
            deep = mode.startswith('I;16') or form == 'PNG' and content[24] == 16
            if isinstance(image, TiffImageFile):
                deep = max(image.tag_v2.get(258, (8,))) == 16
            # That of a PNG without the chunk would be looked for behind the pixels.
            turn = 1 if form == 'PNG' and 'exif' not in image.info else image.getexif().get(274, 1)
            is_kind = dict(
                grey=mode in ('1', 'L', 'LA', 'F') or mode.startswith('I'),
                CMYK=mode == 'CMYK',
                deep=deep,
                alpha=mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info,
                # The second picture of an MPO file is the preview of a camera.
                animated=form != 'MPO' and getattr(image, 'is_animated', False),
                turned=1 < turn < 9,
            )
            size = image.size[::-1] if 4 < turn < 9 else image.size
            return size, turn, tuple(kind for kind in KINDS if is_kind[kind]), form
    except Image.DecompressionBombError:
        raise BrokenImage('has more pixels than Pillow opens: make it smaller') from None
    except Exception:  # many kinds, of many formats; whether it can be read OpenCV decides
        return None, 1, (), None
