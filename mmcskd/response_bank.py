"""A file of the classes that a teacher's fused responses can have, batch by batch.

One shard holds the batches of one process in one epoch, as arrays in a safetensors file, which is
read by memory mapping and runs nothing:

============  ======================  ==============================================================
array         of                      what
============  ======================  ==============================================================
checksum      batch                   of the images that the teacher saw
views         batch + 1               where the batch's views begin
best          view                    argmax of g
table_size    view                    how many classes are candidates anywhere in the view
table_class   candidates of a view    which, in ascending order
table_global  candidates of a view    their g, float32
count         view, H, W              how many candidates a location has
entry         candidates of location  their places in the view's table, in ascending order
local         the same, where > 1     their d, float32
============  ======================  ==============================================================
"""

import hashlib
import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from .atomic_file import AtomicBackend
from .envelope import candidates

FORMAT = '2'
WORDS = {8: torch.int64, 4: torch.int32, 2: torch.int16}


class BankedBatch(NamedTuple):
    """What a shard holds of one batch."""

    checksum: int
    best: np.ndarray
    table_size: np.ndarray
    table_class: np.ndarray
    table_global: np.ndarray
    count: np.ndarray
    entry: np.ndarray
    local: np.ndarray

    def classes(self, fusion_weight: float) -> Tensor:
        """argmax of λ·d + (1 − λ)·g over all classes, by the arithmetic of ``CSKDLoss``.

        Args:
            fusion_weight (float): λ in [0, 1].

        Returns:
            Tensor: (N, H, W), int64.
        """
        count = self.count.reshape(-1)
        start = np.concatenate([[0], np.cumsum(self.table_size, dtype=np.int64)[:-1]])
        places = self.count[0].size
        location = np.repeat(np.arange(count.size), count)
        row = start[location // places] + self.entry
        first = np.concatenate([[0], np.cumsum(count, dtype=np.int64)[:-1]])
        result = self.table_class[row[first]].astype(np.int64)
        contested = count[location] > 1
        if contested.any():
            local = torch.from_numpy(self.local.copy())
            whole = torch.from_numpy(self.table_global[row[contested]])
            fused = fuse(local, whole, fusion_weight)
            rank = (np.arange(location.size) - first[location])[contested]
            where, line = np.unique(location[contested], return_inverse=True)
            lines = torch.full((where.size, int(count.max())), -torch.inf)
            lines[torch.from_numpy(line), torch.from_numpy(rank)] = fused
            winner = lines.argmax(dim=1).numpy()
            result[where] = self.table_class[row[first[where] + winner]]
        return torch.from_numpy(result.reshape(self.count.shape))


def fuse(local: Tensor, whole: Tensor, fusion_weight: float) -> Tensor:
    """t = λ·d + (1 − λ)·g, with each operation rounded by itself.

    So the result for one class and place does not depend on where in memory it lies, as it does
    where a processor may multiply and add in one.

    Args:
        local (Tensor): d.
        whole (Tensor): g, broadcast to the shape of d.
        fusion_weight (float): λ.

    Returns:
        Tensor: As d.
    """
    return local.mul(fusion_weight).add_(whole.mul(1 - fusion_weight))


def condense(spatial: Tensor, whole: Tensor, checksum: int) -> BankedBatch:
    """What a shard keeps of a batch's responses.

    Args:
        spatial (Tensor): d (N, C, H, W).
        whole (Tensor): g (N, C).
        checksum (int): Of the batch, see :func:`fingerprint_of`.

    Returns:
        BankedBatch: All that the hard label of every fusion weight depends on.
    """
    spatial, whole = spatial.float(), whole.float()
    mask = candidates(spatial, whole).cpu()
    best = whole.argmax(dim=1).cpu().numpy()
    in_view = mask.flatten(2).any(dim=2)
    view, table_class = in_view.nonzero(as_tuple=True)
    place_of = in_view.cumsum(dim=1) - 1
    by_place = mask.permute(0, 2, 3, 1)
    n, i, j, c = by_place.nonzero(as_tuple=True)
    count = by_place.sum(dim=3)
    contested = count[n, i, j] > 1
    local = spatial.permute(0, 2, 3, 1).cpu()[n, i, j, c][contested]
    return BankedBatch(
        checksum=checksum,
        best=_small(best, spatial.shape[1] - 1),
        table_size=_small(in_view.sum(dim=1).numpy(), spatial.shape[1]),
        table_class=_small(table_class.numpy(), spatial.shape[1] - 1),
        table_global=whole.cpu()[view, table_class].numpy(),
        count=_small(count.numpy(), int(count.max())),
        entry=_small(place_of[n, c].numpy(), int(in_view.sum(dim=1).max()) - 1),
        local=local.numpy(),
    )


def fingerprint_of(images: Tensor) -> Tensor:
    """A number that differs where batches of images differ, computed where they lie.

    The bits, eight bytes at a time where rows divide so, are summed as integers, by columns and
    rows with other weights, so that it is the same in whatever order a device sums, and another
    for a flipped or shuffled batch.

    Args:
        images (Tensor): (N, C, height, width).

    Returns:
        Tensor: A scalar of int64.
    """
    images = images.detach().contiguous()
    row, offset = (n * images.element_size() for n in (images.shape[-1], images.storage_offset()))
    # Integers of eight bytes are summed as they lie, shorter ones are first made such.
    size = next(size for size in WORDS if row % size == 0)
    numbers = (images.clone() if offset % size else images).view(WORDS[size])
    total = torch.zeros((), dtype=torch.int64, device=images.device)
    for side in (2, 3):
        sums = numbers.sum(dim=side, dtype=torch.int64).flatten()
        weights = torch.arange(1, 2 * sums.numel(), 2, device=images.device)
        total = total * 31 + (sums * weights).sum()
    return total


class ShardWriter:
    """Collects an epoch's batches and writes them as one shard, whole or not at all.

    Args:
        path (Path): The file.
        meta (dict): What to keep beside them, of JSON's types.
    """

    def __init__(self, path: Path, meta: dict) -> None:
        self.path = path
        self.meta = meta
        self.batches: List[BankedBatch] = []

    def add(self, batch: BankedBatch) -> None:
        """Take the next batch."""
        self.batches.append(batch)

    def write(self) -> int:
        """Write the shard.

        Returns:
            int: Its size in bytes.
        """
        arrays = {
            name: _joined([getattr(batch, name) for batch in self.batches])
            for name in BankedBatch._fields[1:]
        }
        arrays['checksum'] = np.array([batch.checksum for batch in self.batches], dtype=np.int64)
        for name, of in dict(
            views='best', tables='table_class', entries='entry', locals='local'
        ).items():
            lengths = [len(getattr(batch, of)) for batch in self.batches]
            arrays[name] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        kept = dict(format=FORMAT, digest=_digest(arrays), meta=self.meta)
        # One entry, as safetensors writes several in any order.
        meta = dict(bank=json.dumps(kept))
        content = save(arrays, metadata=meta)
        AtomicBackend().put(content, self.path)
        return len(content)


class Shard:
    """A shard, read batch by batch by memory mapping.

    Args:
        path (Path): The file.

    Raises:
        ValueError: If it is missing, torn, altered or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ValueError(
                f'The bank has no shard "{path}": make it with tools/bank_responses.py.'
            )
        try:
            self._file = safe_open(str(path), framework='np')
            meta = json.loads((self._file.metadata() or {}).get('bank', '{}'))
        except (SafetensorError, OSError, ValueError) as error:
            raise ValueError(self._damaged(str(error))) from error
        if meta.get('format') != FORMAT:
            raise ValueError(
                f'The shard "{path}" has format {meta.get("format")}, this version reads '
                f'{FORMAT}: make the bank anew with tools/bank_responses.py in another folder.'
            )
        names = list(self._file.keys())
        if _digest({name: self._file.get_tensor(name) for name in names}) != meta['digest']:
            raise ValueError(self._damaged('its content is not what was written'))
        self.meta = meta['meta']
        self._at = {
            name: self._file.get_tensor(name)
            for name in ('views', 'tables', 'entries', 'locals', 'checksum')
        }

    def __len__(self) -> int:
        return len(self._at['checksum'])

    def __getitem__(self, index: int) -> BankedBatch:
        def part(name: str, along: str) -> np.ndarray:
            begin, end = self._at[along][index : index + 2]
            return self._file.get_slice(name)[int(begin) : int(end)]

        return BankedBatch(
            checksum=int(self._at['checksum'][index]),
            best=part('best', 'views'),
            table_size=part('table_size', 'views'),
            table_class=part('table_class', 'tables'),
            table_global=part('table_global', 'tables'),
            count=part('count', 'views'),
            entry=part('entry', 'entries'),
            local=part('local', 'locals'),
        )

    def _damaged(self, why: str) -> str:
        return (
            f'The shard "{self.path}" of the bank is damaged ({why}): run tools/bank_responses.py '
            'again, it makes this shard anew and keeps the others.'
        )


def shard_path(root: Path, epoch: int, rank: int) -> Path:
    """Where the shard of an epoch and a process lies."""
    return Path(root) / f'epoch_{epoch:04d}_rank_{rank:03d}.safetensors'


def whole_shard(path: Path) -> Optional[Shard]:
    """The shard, or None where it is missing or damaged."""
    try:
        return Shard(path)
    except ValueError:
        return None


def _small(array: np.ndarray, largest: int) -> np.ndarray:
    """In the smallest type that holds the numbers."""
    for kind in (np.uint8, np.uint16):
        if largest <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.int32)


def _joined(parts: List[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate(parts))


def _digest(arrays: Dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        shape: Tuple = arrays[name].shape
        digest.update(f'{name} {arrays[name].dtype} {shape}'.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
