"""From a teacher's responses to the part that a bank keeps."""

from typing import Optional

import numpy as np
from torch import Tensor

from .banked_batch import BankedBatch
from .envelope import candidates
from .top_k import TopK


def condense(
    spatial_response: Tensor, global_response: Tensor, checksum: int, top: Optional[TopK] = None
) -> BankedBatch:
    """The part of a batch's responses that a shard keeps.

    Args:
        spatial_response (Tensor): d (N, C, H, W).
        global_response (Tensor): g (N, C).
        checksum (int): From :func:`~mmcskd.bank.image_checksum.image_checksum`.
        top (TopK, optional): What to keep for soft targets. Defaults to None: nothing.

    Returns:
        BankedBatch: All on which the hard label of every fusion weight depends; with ``top`` also
        what approximate soft targets need.
    """
    spatial_response, global_response = spatial_response.float(), global_response.float()
    mask, rest, global_rest = candidates(spatial_response, global_response), None, None
    if top is not None:
        mask |= top.kept(spatial_response, global_response)
        rest = top.rest(spatial_response, global_response, mask).cpu().numpy()
    in_view = mask.flatten(2).any(dim=2)
    if top is not None:
        others = (global_response / top.global_temperature).masked_fill(in_view, -np.inf)
        global_rest = others.logsumexp(dim=1).cpu().numpy()
    mask, in_view = mask.cpu(), in_view.cpu()
    best = global_response.argmax(dim=1).cpu().numpy()
    view, table_class = in_view.nonzero(as_tuple=True)
    place_of = in_view.cumsum(dim=1) - 1
    by_place = mask.permute(0, 2, 3, 1)
    n, i, j, c = by_place.nonzero(as_tuple=True)
    count = by_place.sum(dim=3)
    local = spatial_response.permute(0, 2, 3, 1).cpu()[n, i, j, c]
    return BankedBatch(
        checksum=checksum,
        best=_small(best, spatial_response.shape[1] - 1),
        table_size=_small(in_view.sum(dim=1).numpy(), spatial_response.shape[1]),
        table_class=_small(table_class.numpy(), spatial_response.shape[1] - 1),
        table_global=global_response.cpu()[view, table_class].numpy(),
        count=_small(count.numpy(), int(count.max())),
        entry=_small(place_of[n, c].numpy(), int(in_view.sum(dim=1).max()) - 1),
        local=(local[count[n, i, j] > 1] if top is None else local).numpy(),
        rest=rest,
        global_rest=global_rest,
    )


def _small(array: np.ndarray, largest: int) -> np.ndarray:
    """Cast to the smallest type that holds the numbers."""
    for kind in (np.uint8, np.uint16):
        if largest <= np.iinfo(kind).max:
            return array.astype(kind)
    return array.astype(np.int32)
