"""The part of a teacher's responses to one batch that a bank keeps, and its targets."""

from typing import NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from ..method import fuse
from .partial_target import PartialTarget


class BankedBatch(NamedTuple):
    """Candidates of each location, as arrays; see :mod:`mmcskd.bank.response_bank`."""

    checksum: int
    best: np.ndarray
    table_size: np.ndarray
    table_class: np.ndarray
    table_global: np.ndarray
    count: np.ndarray  # type: ignore[assignment]
    entry: np.ndarray
    local: np.ndarray
    rest: Optional[np.ndarray] = None
    global_rest: Optional[np.ndarray] = None

    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax_C of the fused response, (N, H, W), int64: bit for bit the teacher's own."""
        classes, fused = self._candidates(fusion_weight)
        return classes.gather(1, fused.argmax(dim=1, keepdim=True)).view(self.count.shape)

    def fused_target(self, fusion_weight: float, num_classes: int) -> PartialTarget:
        """The fused response as far as it is kept, N·H·W rows."""
        w = fusion_weight
        # The parabola through the three values that are kept.
        parts = torch.tensor([(1 - w) * (1 - 2 * w), 4 * w * (1 - w), w * (2 * w - 1)])
        rest = torch.from_numpy(self.rest).flatten(0, 2)
        others = num_classes - torch.from_numpy(self.count.astype(np.int64)).flatten()
        rest = (rest * parts).sum(dim=1).where(others > 0, -torch.inf)
        return PartialTarget(*self._candidates(w, num_classes), rest, others)

    def global_target(self, num_classes: int) -> PartialTarget:
        """The global response as far as it is kept, N rows."""
        size = self.table_size.astype(np.int64)
        known = _in_rows(size, self.table_class.astype(np.int64), num_classes)
        logits = _in_rows(size, self.table_global, -np.inf)
        rest, others = torch.from_numpy(self.global_rest), num_classes - torch.from_numpy(size)
        return PartialTarget(known, logits, rest, others)

    def _candidates(self, fusion_weight: float, no_class: int = 0) -> Tuple[Tensor, Tensor]:
        """Classes and their fused responses, both (N·H·W, M), padded by ``no_class`` and -inf."""
        count = self.count.reshape(-1).astype(np.int64)
        start = np.cumsum(self.table_size, dtype=np.int64) - self.table_size
        row = np.repeat(start, count.reshape(len(start), -1).sum(axis=1)) + self.entry
        # A single candidate has no d, except in a bank for soft targets.
        kept = np.repeat(count > 1, count) if self.rest is None else slice(None)
        global_response = torch.from_numpy(self.table_global[row[kept]])
        spatial_response = torch.from_numpy(self.local.copy())
        fused = np.zeros(len(row), dtype=np.float32)
        fused[kept] = fuse(spatial_response, global_response, fusion_weight).numpy()
        classes = self.table_class[row].astype(np.int64)
        return _in_rows(count, classes, no_class), _in_rows(count, fused, -np.inf)


def _in_rows(lengths: np.ndarray, values: np.ndarray, padding: float) -> Tensor:
    """Concatenated values → (rows, longest)."""
    place = np.arange(lengths.max()) < lengths[:, None]
    rows = np.full(place.shape, padding, dtype=values.dtype)
    rows[place] = values
    return torch.from_numpy(rows)
