"""Limits on the size and depth of content that is read from files.

A few bytes can need any amount of memory or time: an archive may be compressed, a tensor may be a
view that repeats one number, a list may contain another one twice, and so on. Files of
``torch.save`` do none of this. ``MMCSKD_READ_BOUNDS=off`` in the environment removes the limits,
for a file that is known to need it.
"""

import contextlib
import inspect
import os
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import numpy as np
import torch

MAX_DEPTH = 100
MAX_TEXT = 1 << 20  # characters of a saved config
MAX_ENTRIES = 10_000_000
# Bytes that a file may expand to: at least this many, or this multiple of its size.
ALWAYS = 64 << 20
TIMES = 20
VARIABLE = 'MMCSKD_READ_BOUNDS'


class BoundsError(ValueError):
    """A file that exceeds the limits."""


def lifted() -> bool:
    """Whether the environment removes the limits."""
    return os.environ.get(VARIABLE) == 'off'


@contextlib.contextmanager
def shallow() -> Iterator[None]:
    """Let a parser of text end with a RecursionError.

    Where a library has raised Python's limit, a text of brackets ends the process instead.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, len(inspect.stack(0)) + 1000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def check_archive(file: Any, size: int) -> None:
    """Check the limits of a zip archive by its directory.

    Args:
        file (str | Path | BinaryIO): Any file; a file that is no archive is ignored.
        size (int): Its bytes.

    Raises:
        BoundsError: If the sizes of its members exceed the limits.
    """
    if lifted() or not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        _check_bytes(sum(member.file_size for member in archive.infolist()), size)


def check_content(content: Any, size: Optional[int] = None) -> None:
    """Check the limits of content that was read.

    The check descends into dictionaries, lists, tuples, sets and other containers of checkpoints.

    Args:
        content (Any): Content of a file.
        size (int, optional): Bytes of the file. Defaults to None: not compared.

    Raises:
        BoundsError: If it contains itself, is nested deeper than ``MAX_DEPTH``, or has more than
            ``MAX_ENTRIES`` entries or more bytes than a file of ``size`` may expand to.
    """
    entries, total = _measure(content)
    if lifted():
        return
    if entries > MAX_ENTRIES:
        raise BoundsError(_refused(f'unfolds to more than {MAX_ENTRIES:,} entries'))
    if size is not None:
        _check_bytes(total, size)


def _measure(content: Any) -> tuple:
    """Number of entries, each as often as it occurs, and bytes of arrays, each counted once."""
    entries: Dict[int, int] = {}
    open_, total = set(), 0
    bounded = not lifted()
    waiting = [(content, False)]
    while waiting:
        node, done = waiting.pop()
        inner: Any = _inner(node)
        if done:
            open_.discard(id(node))
            entries[id(node)] = 1 + sum(entries.get(id(each), 1) for each in inner)
            continue
        if id(node) in entries:
            continue
        if bounded and len(entries) > MAX_ENTRIES:
            return len(entries), total
        if inner is None:
            total += _bytes(node)
            entries[id(node)] = 1
            continue
        if id(node) in open_:
            raise BoundsError('contains itself')
        open_.add(id(node))
        if bounded and len(open_) > MAX_DEPTH:
            raise BoundsError(_refused(f'is nested more than {MAX_DEPTH} deep'))
        waiting.append((node, True))
        waiting += [(each, False) for each in inner]
    return entries[id(content)], total


def _inner(node: Any) -> Optional[list]:
    """The entries of a container; None for anything else."""
    if isinstance(node, dict):
        return [*node.keys(), *node.values(), *getattr(node, '__dict__', {}).values()]
    if isinstance(node, (list, tuple, set, frozenset)):
        return list(node)
    if isinstance(node, np.ndarray):
        return list(node.flat) if node.dtype.hasobject else None
    if isinstance(node, torch.Tensor):
        return None
    if type(node).__module__.startswith('mmengine.'):  # a HistoryBuffer
        return list(vars(node).values())
    return None


def _bytes(node: Any) -> int:
    if isinstance(node, torch.Tensor):
        return node.numel() * node.element_size()
    if isinstance(node, np.ndarray):
        return node.nbytes
    return len(node) if isinstance(node, (str, bytes, bytearray)) else 0


def _check_bytes(total: int, size: int) -> None:
    if total > max(ALWAYS, TIMES * size):
        raise BoundsError(_refused(f'unfolds to {total:,} bytes from {size:,}'))


def _refused(what: str) -> str:
    return f'{what}, which no checkpoint does; {VARIABLE}=off in the environment lifts the bound'


def file_size(source: Any) -> int:
    """Bytes of a file or buffer."""
    return os.path.getsize(source) if isinstance(source, (str, Path)) else source.getbuffer().nbytes
