"""Files that are whole or absent, and that tell when they are damaged."""

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
        """Write text whole or not at all.

        Args:
            obj (str): The content.
            filepath (str | Path): The file.
            encoding (str): Defaults to ``'utf-8'``.
        """
        self.put(obj.encode(encoding), filepath)


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
        str | None: A sentence's end such as "is empty"; None if it is whole, by the CRC-32 that
        each member of its archive has.
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
            # A member that is marked as a folder: torch would take what lies in memory for it.
            folders = (m.filename for m in archive.infolist() if m.external_attr & FOLDER)
            broken = archive.testzip() or next(folders, None)
        return broken and f'is damaged (in "{broken}")'
    except BoundsError as error:
        return str(error)
    except zipfile.BadZipFile:
        return 'is cut short or damaged'
    except (OSError, EOFError, NotImplementedError, ValueError) as error:
        return f'cannot be read ({error})'
    except Exception as error:  # a damaged archive may ask zlib and struct for anything
        return f'is damaged ({type(error).__name__}: {error})'
