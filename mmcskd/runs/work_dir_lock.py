"""One run in a folder: a lock that ends with its process, however that ends."""

import errno
import os
import socket
from pathlib import Path
from typing import Dict, List, Optional, Tuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE = '.lock'
# By process and file. Closing any handle of a file ends all of a process's locks on it.
_held: Dict[Tuple[int, Path], int] = {}


def folders(work_dir: str, out_dir: Optional[str]) -> List[Tuple[str, str]]:
    """The folders into which a run writes, the last one its checkpoints, with their config keys.

    Args:
        work_dir (str): The run's.
        out_dir (str | None): The checkpoint hook's; MMEngine adds the work directory's name.
    """
    found = [(work_dir, 'work_dir')]
    if out_dir not in (None, work_dir):
        name = os.path.basename(work_dir.rstrip(os.sep))
        found.append((os.path.join(str(out_dir), name), 'default_hooks.checkpoint.out_dir'))
    return found


def lock(folder: str, key: str = 'work_dir') -> Optional[str]:
    """Lock a folder, or find out which process has it.

    It is a POSIX record lock, which forked data workers do not inherit. Where the file system has
    no locks, nothing is locked.

    Args:
        folder (str): A folder that can be written to.
        key (str): The config key that names it, for the message. Defaults to ``'work_dir'``.

    Returns:
        str | None: The message if another process holds the lock; None if this one does.
    """
    path = Path(folder).resolve() / FILE
    if fcntl is None or (os.getpid(), path) in _held:
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if not _take(handle, fcntl.LOCK_EX):
        return _refuse(handle, folder, key)
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[os.getpid(), path] = handle
    return None


def locked(folder: str, key: str = 'work_dir') -> Optional[str]:
    """As :func:`lock`, but nothing is written or locked, and the folder need not exist."""
    path = Path(folder).resolve() / FILE
    if fcntl is None or (os.getpid(), path) in _held or not path.is_file():
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if not _take(handle, fcntl.LOCK_SH):
        return _refuse(handle, folder, key)
    os.close(handle)
    return None


def unlock(folder: str) -> None:
    """Release the lock of this process; the file stays, since another may have opened it."""
    handle = _held.pop((os.getpid(), Path(folder).resolve() / FILE), None)
    if handle is not None:
        os.close(handle)


def _take(handle: int, kind: int) -> bool:
    try:
        fcntl.lockf(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)  # else a file system without locks
    return True


def _refuse(handle: int, folder: str, key: str) -> str:
    owner = os.read(handle, 200).decode(errors='replace').strip()
    os.close(handle)
    other = ' with --work-dir' if key == 'work_dir' else ''
    return (
        f'{key}="{folder}" is in use by the run of {owner}: two runs there would mix their '
        f'checkpoints and logs. Name another folder{other}, or end that run.'
    )
