"""One run in a work directory: a lock that ends with its process, however that ends."""

import errno
import os
import socket
from pathlib import Path
from typing import Dict, Optional, Tuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE = '.lock'
# By process and file. Closing any handle of a file ends all of a process's locks on it.
_held: Dict[Tuple[int, Path], int] = {}


def lock(work_dir: str) -> Optional[str]:
    """Lock a work directory, or find out which process has it.

    It is a POSIX record lock, which forked data workers do not inherit. Where the file system has
    no locks, nothing is locked.

    Args:
        work_dir (str): A folder that can be written to.

    Returns:
        str | None: The message if another process holds the lock; None if this one does.
    """
    path = Path(work_dir).resolve() / FILE
    if fcntl is None or (os.getpid(), path) in _held:
        return None
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 200).decode(errors='replace').strip()
        os.close(handle)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return (
                f'work_dir="{work_dir}" is in use by the run of {owner}: two runs there would mix '
                'their checkpoints and logs. Name another folder with --work-dir, or end that run.'
            )
        return None
    os.ftruncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    _held[os.getpid(), path] = handle
    return None


def unlock(work_dir: str) -> None:
    """Release the lock of this process; the file stays, since another may have opened it."""
    handle = _held.pop((os.getpid(), Path(work_dir).resolve() / FILE), None)
    if handle is not None:
        os.close(handle)
