"""Files that are complete or absent, and a check for damaged ones."""

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Optional, Union

from mmengine.fileio import LocalBackend, register_backend

from .bounds import BoundsError, check_archive

SUFFIX = '.partial'
FOLDER = 0x10


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """MMEngine's backend for local files, with atomic writes.

    ``put`` writes a temporary file, flushes it to the disk and renames it, so that at any moment
    the old file or the new one exists.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write bytes completely or not at all.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The file.

        Raises:
            OSError: If the write fails; the file is then unchanged.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The process id separates two writers.
        partial = path.with_name(f'{path.name}.{os.getpid()}{SUFFIX}')
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        _flush_folder(path.parent)

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = 'utf-8') -> None:
        """Write text completely or not at all.

        Args:
            obj (str): The content.
            filepath (str | Path): The file.
            encoding (str): Defaults to ``'utf-8'``.
        """
        self.put(obj.encode(encoding), filepath)


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power failure, if the file system supports it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def damage(path: Union[str, Path]) -> Optional[str]:
    """The damage of a file of ``torch.save``.

    Args:
        path (str | Path): The file.

    Returns:
        str | None: The end of a sentence, such as "is empty"; None if the CRC-32 of each member
        of its archive is right.
    """
    try:
        size = os.path.getsize(path)
        if size == 0:
            return 'is empty'
        with open(path, 'rb') as file:
            if file.read(2) != b'PK':
                return 'is no checkpoint'
        check_archive(path, size)
        with zipfile.ZipFile(path) as archive:
            # A member that is marked as a folder: torch would read uninitialised memory for it.
            folders = (m.filename for m in archive.infolist() if m.external_attr & FOLDER)
            broken = archive.testzip() or next(folders, None)
        return broken and f'is damaged (in "{broken}")'
    except BoundsError as error:
        return str(error)
    except zipfile.BadZipFile:
        return 'is cut short or damaged'
    except (OSError, EOFError, NotImplementedError, ValueError) as error:
        return f'cannot be read ({error})'
    except Exception as error:  # zlib and struct raise many errors for damaged archives
        return f'is damaged ({type(error).__name__}: {error})'
