"""Whether the arrays of a shard hold what those of a bank can hold."""

from typing import Any, Iterator, Mapping, Optional, Tuple

import numpy as np

# The array with the index of a batch's first entry.
ALONG = dict(
    best='views',
    table_size='views',
    table_class='tables',
    table_global='tables',
    count='views',
    entry='entries',
    local='locals',
    rest='views',
    global_rest='views',
)
INDICES = ('views', 'tables', 'entries', 'locals')
SOFT = {'rest', 'global_rest'}
FLOATS = {'table_global', 'local', *SOFT}


def array_fault(arrays: Mapping[str, np.ndarray]) -> Optional[str]:
    """What is wrong with the arrays of a shard as a whole; None if nothing is.

    Args:
        arrays (Mapping[str, np.ndarray]): All of them.
    """
    needed = {*ALONG, *INDICES, 'checksum'} - (set() if SOFT & {*arrays} else SOFT)
    if needed != {*arrays}:
        return f'"{min(needed ^ {*arrays})}" is missing or too many'
    for name, array in arrays.items():
        if array.dtype != np.float32 if name in FLOATS else array.dtype.kind not in 'iu':
            return f'its "{name}" are numbers of type {array.dtype}'
    for name in INDICES:
        at = arrays[name]
        consecutive = at.ndim == 1 and len(at) == len(arrays['checksum']) + 1 and at[0] == 0
        if not consecutive or (np.diff(at) < 0).any():
            return f'its "{name}" do not divide it into batches'
    for name, index in ALONG.items():
        if name in arrays and len(arrays[name]) != arrays[index][-1]:
            return f'its "{name}" has another length than "{index}" says'
    return None


def value_fault(parts: Mapping[str, Any], meta: dict) -> Optional[str]:
    """What is wrong with the values of a batch; None if nothing is.

    Args:
        parts (Mapping[str, np.ndarray | None]): The arrays of the batch.
        meta (dict): ``grid`` and ``num_classes``.
    """
    for name, array in parts.items():
        # Where all classes are kept, the sum over the others is that over none.
        if name in SOFT and array is not None and not (array < np.inf).all():
            return f'its "{name}" holds NaN or infinity'
        if name in FLOATS - SOFT and not np.isfinite(array).all():
            return f'its "{name}" holds NaN or infinity'
    for name, fits in _shapes(parts, meta):
        if not fits:
            return f'its "{name}" is not that of the counts'
    for name, low, high in _ranges(parts, meta['num_classes']):
        values = parts[name]
        if (values < low).any() or (values > high).any():
            return f'its "{name}" holds a number out of range'
    return None


def _shapes(parts: Mapping[str, Any], meta: dict) -> Iterator[Tuple[str, bool]]:
    views, count, grid = len(parts['best']), parts['count'], tuple(meta['grid'])
    yield 'best', parts['best'].ndim == 1
    yield 'table_size', parts['table_size'].ndim == 1
    yield 'count', count.shape == (views, *grid)
    for name in ('table_class', 'table_global'):
        yield name, parts[name].shape == (parts['table_size'].sum(),)
    yield 'entry', parts['entry'].shape == (count.sum(),)
    soft = parts['rest'] is not None
    yield 'local', parts['local'].shape == (count.sum() if soft else count[count > 1].sum(),)
    if soft:
        yield 'rest', parts['rest'].shape[:3] == count.shape and parts['rest'].ndim == 4
        yield 'global_rest', parts['global_rest'].shape == (views,)


def _ranges(parts: Mapping[str, Any], classes: int) -> Iterator[Tuple[str, int, Any]]:
    """Smallest and largest number of an array; its shape is checked."""
    yield 'best', 0, classes - 1
    yield 'table_class', 0, classes - 1
    yield 'table_size', 1, classes
    sizes = parts['table_size'].astype(np.int64)
    yield 'count', 1, sizes[:, None, None]
    of_view = parts['count'].reshape(len(sizes), -1).sum(axis=1, dtype=np.int64)
    yield 'entry', 0, np.repeat(sizes - 1, of_view)
