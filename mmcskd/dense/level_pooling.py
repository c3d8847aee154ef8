"""Means over the locations of a level that are not ignored."""

from typing import Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def kept_locations(ignored: Optional[Tensor], level: Tensor) -> Optional[Tensor]:
    """The locations of which at least half the pixels are not ignored.

    Args:
        ignored (Tensor, optional): (N, 1, height, width) of bool.
        level (Tensor): (N, A, C, H, W).

    Returns:
        Tensor, optional: (N, 1, H, W) of 0 and 1; None if nothing is ignored.
    """
    if ignored is None:
        return None
    grid = (level.shape[-2], level.shape[-1])
    return (F.adaptive_avg_pool2d((~ignored).float(), grid) >= 0.5).float()


def mean_response(level: Tensor, kept: Optional[Tensor]) -> Tensor:
    """The mean of a level.

    Args:
        level (Tensor): (N, A, C, H, W).
        kept (Tensor, optional): (N, 1, H, W), from :func:`kept_locations`.

    Returns:
        Tensor: (N, A, C).
    """
    if kept is None:
        return level.mean((-2, -1))
    kept = kept[:, None]
    return (level * kept).sum((-2, -1)) / kept.sum((-2, -1)).clamp(min=1)


def pool_level(
    level: Tensor, kept: Optional[Tensor], grid: Tuple[int, int]
) -> Tuple[Tensor, Optional[Tensor]]:
    """The means within the cells of another grid.

    Args:
        level (Tensor): (N, A, C, H, W).
        kept (Tensor, optional): (N, 1, H, W), from :func:`kept_locations`.
        grid (tuple[int, int]): (H', W').

    Returns:
        tuple[Tensor, Tensor | None]: (N, A, C, H', W'), and (N, 1, H', W') of bool: the cells with
        at least one kept location.
    """
    flat, shape = level.flatten(1, 2), level.shape[1:3]
    if kept is None:
        return F.adaptive_avg_pool2d(flat, grid).unflatten(1, shape), None
    share = F.adaptive_avg_pool2d(kept, grid)
    pooled = F.adaptive_avg_pool2d(flat * kept, grid) / share.clamp(min=EPS)
    return pooled.unflatten(1, shape), share > 0


def probabilities(level: Tensor, sigmoid: bool) -> Tensor:
    """Class probabilities of logits (N, A, C, …), by sigmoid or by softmax over the classes."""
    return level.sigmoid() if sigmoid else level.softmax(dim=2)


def logits(chances: Tensor, sigmoid: bool) -> Tensor:
    """The inverse of :func:`probabilities`; probabilities below 1e-6 count as 1e-6."""
    return chances.logit(eps=EPS) if sigmoid else chances.clamp(min=EPS).log()
