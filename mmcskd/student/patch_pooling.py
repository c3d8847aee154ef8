"""Patch tokens averaged to a coarser grid, their gradient laid out as that of all tokens."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .token_split import leave_room


def pool_patches(
    patches: Tensor, grid: Tuple[int, int], to: Tuple[int, int], num_extra_tokens: int
) -> Tensor:
    """Average patch tokens, adaptively where the sides do not divide.

    Args:
        patches (Tensor): (N, h·w, D).
        grid (tuple[int, int]): h × w.
        to (tuple[int, int]): H × W.
        num_extra_tokens (int): How many tokens they were parted from.

    Returns:
        Tensor: (N, D, H, W).
    """
    if grid[0] % to[0] or grid[1] % to[1]:
        return _pool(patches, grid, to)
    return _PoolCells.apply(patches, grid, to, num_extra_tokens)


def _pool(patches: Tensor, grid: Tuple[int, int], to: Tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(patches.unflatten(1, grid).permute(0, 3, 1, 2), to)


class _PoolCells(torch.autograd.Function):
    """Cells of equal size, whose tokens all have the same gradient."""

    @staticmethod
    def forward(ctx, patches: Tensor, grid, to, num_extra_tokens: int) -> Tensor:
        ctx.shape, ctx.grid, ctx.extra = patches.shape, grid, num_extra_tokens
        return _pool(patches, grid, to)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tuple[Tensor, None, None, None]:
        rows, columns = gradient.shape[-2:]
        cell = ctx.grid[0] // rows, ctx.grid[1] // columns
        filled = leave_room(ctx.shape, ctx.extra, gradient)
        cells = filled.unflatten(1, (rows, cell[0], columns, cell[1]))
        cells.copy_(gradient.permute(0, 2, 3, 1)[:, :, None, :, None])
        filled.div_(cell[0] * cell[1])
        return filled, None, None, None
