"""Files that are whole or absent, and that tell when they are damaged."""

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Optional, Union

from mmengine.fileio import LocalBackend, register_backend

MARK = b'mmcskd sha256 '
LENGTH = len(MARK) + 64
SUFFIX = '.partial'


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """MMEngine's backend for local files, with writes that a crash cannot tear.

    ``put`` writes beside the file, flushes to the disk and renames, so that at any moment the old
    file or the new one is there. A zip archive, as ``torch.save`` makes them, gets its SHA-256 as
    archive comment, which every reader of such files passes over.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes whole or not at all.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The file.

        Raises:
            OSError: If the disk does not take it; the file is then as it was before.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The process's number keeps two writers apart.
        partial = path.with_name(f'{path.name}.{os.getpid()}{SUFFIX}')
        try:
            with open(partial, 'wb') as file:
                for part in _with_digest(obj):
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        _flush_folder(path.parent)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """Write text whole or not at all.

        Args:
            obj (str): The content.
            filepath (str | Path): The file.
            encoding (str): Defaults to ``'utf-8'``.
        """
        self.put(obj.encode(encoding), filepath)


def _with_digest(content: bytes):
    """The archive in parts, with its digest as comment; anything else as it is."""
    view = memoryview(content)
    if content[-22:-18] != b'PK\x05\x06' or content[-2:] != b'\0\0':
        return [view]
    # The last two bytes of an archive are the length of the comment behind them.
    length = LENGTH.to_bytes(2, 'little')
    sha = hashlib.sha256(view[:-2])
    sha.update(length)
    return [view[:-2], length, MARK, sha.hexdigest().encode()]


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power failure, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def damage(path: Union[str, Path]) -> Optional[str]:
    """What is wrong with a file that ``torch.save`` wrote.

    Args:
        path (str | Path): The file.

    Returns:
        str | None: A sentence's end such as "is empty"; None if it is whole. Without a digest, as
        stock MMEngine writes checkpoints, the archive's own checksums are tested.
    """
    try:
        size = os.path.getsize(path)
        if size == 0:
            return 'is empty'
        with open(path, 'rb') as file:
            if file.read(2) != b'PK':
                return 'is no checkpoint'
            file.seek(max(0, size - LENGTH))
            comment = file.read()
            if comment.startswith(MARK):
                file.seek(0)
                sha, left = hashlib.sha256(), size - LENGTH
                while left:
                    block = file.read(min(left, 1 << 20))
                    sha.update(block)
                    left -= len(block)
                same = sha.hexdigest().encode() == comment[len(MARK) :]
                return None if same else 'is damaged (its digest differs)'
            file.seek(max(0, size - 22 - LENGTH))
            end = file.read()
        # Python reads an archive whose comment is cut, and so its digest.
        start = end.rfind(b'PK\x05\x06')
        told = int.from_bytes(end[start + 20 : start + 22], 'little')
        if start >= 0 and told != len(end) - start - 22:
            return 'is cut short'
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        return broken and f'is damaged (in "{broken}")'
    except zipfile.BadZipFile:
        return 'is cut short'
    except (OSError, EOFError, NotImplementedError, ValueError) as error:
        return f'cannot be read ({error})'
    except Exception as error:  # a damaged archive may ask zlib and struct for anything
        return f'is damaged ({type(error).__name__}: {error})'
