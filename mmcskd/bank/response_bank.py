"""Files of the classes that a teacher's fused responses can have, batch by batch.

A shard has the batches of one process in one epoch, as arrays in a safetensors file, which is read
by memory mapping and executes nothing:

============  ======================  ==============================================================
array         of                      what
============  ======================  ==============================================================
checksum      batch                   of the images, see :mod:`mmcskd.bank.image_checksum`
views         batch + 1               index of the batch's first view
best          view                    argmax of g
table_size    view                    number of classes that are candidates in the view
table_class   candidates of a view    these classes, in ascending order
table_global  candidates of a view    their g, float32
count         view, H, W              number of candidates of a location
entry         candidates of location  their indices in the view's table, ascending
local         the same, where > 1     their d, float32
============  ======================  ==============================================================

With ``model.bank.top_k`` the k largest classes of d and of g are candidates too, every candidate
has its d, and two arrays hold sums over all other classes:

============  ======================  ==============================================================
rest          view, H, W, 3           log Σ exp(t / T) at fusion weights 0, ½ and 1, float32
global_rest   view                    log Σ exp(g / T), float32
============  ======================  ==============================================================
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..runs.atomic_file import AtomicBackend
from ..runs.bounds import shallow
from .banked_batch import BankedBatch
from .shard_check import ALONG, INDICES, array_fault, value_fault

FORMAT = '4'


class ShardWriter:
    """Collects an epoch's batches and writes them as one shard, completely or not at all.

    Args:
        path (Path): The file.
        meta (dict): Further values of JSON types.
    """

    def __init__(self, path: Path, meta: dict) -> None:
        self.path = path
        self.meta = meta
        self.batches: List[BankedBatch] = []

    def add(self, batch: BankedBatch) -> None:
        """Add the next batch."""
        self.batches.append(batch)

    def write(self) -> int:
        """Write the shard.

        Returns:
            int: Its size in bytes.
        """
        arrays = {
            name: np.concatenate([getattr(batch, name) for batch in self.batches])
            for name in ALONG
            if getattr(self.batches[0], name) is not None
        }
        arrays['checksum'] = np.array([batch.checksum for batch in self.batches], dtype=np.int64)
        for name, of in dict(
            views='best', tables='table_class', entries='entry', locals='local'
        ).items():
            lengths = [len(getattr(batch, of)) for batch in self.batches]
            arrays[name] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        kept = dict(format=FORMAT, digest=_digest(arrays), meta=self.meta)
        # One entry: safetensors writes several in no fixed order.
        meta = dict(bank=json.dumps(kept))
        content = save(arrays, metadata=meta)
        AtomicBackend().put(content, self.path)
        return len(content)


class Shard:
    """Reads a shard batch by batch, by memory mapping.

    Args:
        path (Path): The file.
        run (str): Identity of the bank's run, which ``meta['run']`` must be.

    Raises:
        ValueError: If it is missing, damaged, of another format or of another run's bank; when a
            batch is read, if a value is none that a bank can hold.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        if not path.is_file():
            raise ValueError(
                f'The bank has no shard "{path}": make it with tools/bank_responses.py.'
            )
        try:
            self._file = safe_open(str(path), framework='np')
            with shallow():
                meta = json.loads((self._file.metadata() or {}).get('bank', '{}'))
            if not isinstance(meta, dict):
                raise ValueError('what it says of itself is no dictionary')
        except (SafetensorError, OSError, RecursionError, ValueError) as error:
            raise ValueError(self._damaged(str(error))) from error
        if meta.get('format') != FORMAT:
            raise ValueError(
                f'The shard "{path}" has format {meta.get("format")}, this version reads '
                f'{FORMAT}: make the bank anew with tools/bank_responses.py in another folder.'
            )
        self._names = set(self._file.keys())
        arrays = {name: self._file.get_tensor(name) for name in self._names}
        if _digest(arrays) != meta.get('digest'):
            raise ValueError(self._damaged('its content is not what was written'))
        fault = array_fault(arrays)
        if fault is not None:
            raise ValueError(self._damaged(fault))
        self.meta: dict = meta.get('meta') or {}
        if not _plausible(self.meta):
            raise ValueError(self._damaged('its grids or classes are no counts'))
        if self.meta.get('run') != run:
            raise ValueError(
                f'The shard "{path}" belongs to another run than the bank in its folder: run '
                'tools/bank_responses.py again, it makes this shard anew and keeps the others.'
            )
        self._at = {name: arrays[name] for name in (*INDICES, 'checksum')}

    def __len__(self) -> int:
        return len(self._at['checksum'])

    def __getitem__(self, index: int) -> BankedBatch:
        def part(name: str) -> Optional[np.ndarray]:
            if name not in self._names:
                return None
            begin, end = self._at[ALONG[name]][index : index + 2]
            return self._file.get_slice(name)[int(begin) : int(end)]

        parts: Dict[str, Any] = {name: part(name) for name in ALONG}
        # Arrays are made as large as the counts say.
        fault = value_fault(parts, self.meta)
        if fault is not None:
            raise ValueError(self._damaged(fault))
        return BankedBatch(checksum=int(self._at['checksum'][index]), **parts)

    def _damaged(self, why: str) -> str:
        return (
            f'The shard "{self.path}" of the bank is damaged ({why}): run tools/bank_responses.py '
            'again, it makes this shard anew and keeps the others.'
        )


def shard_path(root: Path, epoch: int, rank: int) -> Path:
    """File of the shard of an epoch and a process."""
    return Path(root) / f'epoch_{epoch:04d}_rank_{rank:03d}.safetensors'


def whole_shard(path: Path, run: str) -> Optional[Shard]:
    """The shard, or None if it is missing, damaged or of another run."""
    try:
        return Shard(path, run)
    except ValueError:
        return None


def _plausible(meta: Any) -> bool:
    """Whether grids and classes are counts that a teacher can have."""
    if not isinstance(meta, dict):
        return False
    grids: List[Any] = [meta.get('grid'), meta.get('teacher_grid')]
    if not all(isinstance(grid, list) and len(grid) == 2 for grid in grids):
        return False
    sides = [side for grid in grids for side in grid]
    return all(
        type(number) is int and 0 < number <= most
        for number, most in [
            *((side, 1 << 12) for side in sides),
            (meta.get('num_classes'), 1 << 20),
        ]
    )


def _digest(arrays: Dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        shape: Tuple = arrays[name].shape
        digest.update(f'{name} {arrays[name].dtype} {shape}'.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
