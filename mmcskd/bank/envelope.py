"""The classes that a fused response can have, for any fusion weight."""

from typing import Tuple

import torch
from torch import Tensor

# Bound of the rounding of λ·d + (1 − λ)·g in float32, relative to its largest term.
ROUNDING = 16 * torch.finfo(torch.float32).eps


@torch.no_grad()
def candidates(spatial_response: Tensor, global_response: Tensor) -> Tensor:
    """Classes that are the argmax of λ·d + (1 − λ)·g for some λ in [0, 1].

    For one location these are C straight lines in λ, and the argmax is their upper envelope. A
    class below it by less than the rounding in float32 is a candidate too, so that the argmax over
    the candidates in float32 is exactly that over all classes. The envelope is convex, so a line
    comes nearest to it at a corner. Source: CSKD, section 3.3.

    Args:
        spatial_response (Tensor): d (N, C, H, W), float32.
        global_response (Tensor): g (N, C), float32.

    Returns:
        Tensor: (N, C, H, W) of bool; at least one class a location.

    Raises:
        ValueError: If a response is not finite.
    """
    d = spatial_response.double()
    g = global_response.double()[..., None, None].expand_as(d)
    if not (d.isfinite().all() and g.isfinite().all()):
        raise ValueError(
            "The teacher's response is not finite: check model.teacher_ckpt, model.teacher_view "
            'and the precision of optim_wrapper.'
        )
    slope = d - g
    scale = torch.maximum(d.abs(), g.abs()).amax(dim=1, keepdim=True)
    reach = 2 * ROUNDING * scale
    found = torch.zeros_like(d, dtype=torch.bool)
    weight = torch.zeros_like(scale)
    while True:
        value = g + weight * slope
        best = value.amax(dim=1, keepdim=True)
        found |= value >= best - reach
        weight, more = _next_corner(value, best, slope, weight)
        if not more:
            break
    value = g + slope
    return found | (value >= value.amax(dim=1, keepdim=True) - reach)


def _next_corner(value: Tensor, best: Tensor, slope: Tensor, weight: Tensor) -> Tuple[Tensor, bool]:
    """The λ of the next corner, (N, 1, H, W), 1 without one; and whether any is left."""
    # Of the lines on top at this λ, the steepest is on top for the next larger λ.
    on_top = value >= best
    steepest = slope.masked_fill(~on_top, -torch.inf).amax(dim=1, keepdim=True)
    steeper = (slope > steepest) & ~on_top
    ahead = (best - value) / (slope - steepest).masked_fill(~steeper, 1.0)
    ahead = ahead.masked_fill(~steeper, torch.inf).amin(dim=1, keepdim=True)
    # At least one step: rounding could make the distance zero.
    corner = torch.maximum(weight + ahead, weight + 1e-12).clamp(max=1.0)
    return corner, bool((corner < 1.0).any())
