"""Cumulative Spatial Knowledge Distillation (CSKD) on one page.

A frozen CNN teaches a vision transformer: every patch token learns the CNN's response at the same
location. For N images, C classes, a teacher's grid H×W and a
student's grid h×w of patch tokens with width D:

| | shape | |
|---|---|---|
| ``spatial_response`` | (N, C, H, W) | d: the teacher's class logits at each location |
| ``global_response`` | (N, C) | g: the teacher's class logits of the whole image |
| ``fusion_weight`` | in [0, 1] | λ: falls from 1 to 0 with the progress p of the training run |
| ``fused_response`` | (N, C, H, W) | t: the target at each location |
| ``patch_tokens`` | (N, h·w, D) | after the student's last norm |
| ``student_response`` | (N, C, H, W) | z_s: the student's class logits at each location |

    (1)  z_s = head(pool(patch tokens)), with the head that the distillation token has
    (2)  λ(p) = 1 − p, or (1 − p)², or cos(πp / 2)
    (3)  t = λ·d + (1 − λ)·g
    (4)  hard loss = cross entropy of z_s with argmax_C t, mean over N·H·W
    (5)  soft loss = T² · Σ KL(softmax(t / T) ‖ softmax(z_s / T)) ÷ N
    (6)  DeiT: the same of the distillation token's logits z_dist with g; its soft loss is ÷ N·C
    (7)  total = (1 − α)·base + α·DeiT + β·CSKD, with α = ½ and β = 1
    (8)  score at test time = (z_cls + z_dist + mean over patch tokens of head(token)) ÷ 3

CSKD with features, beyond the paper, has λ = 1, the soft loss ÷ H·W, and an earlier layer that
learns the CNN's last feature map F (N, K, H, W):

    (9)  feature loss = Σ (linear(pool(patch tokens of that layer)) − F)² ÷ Σ (F − mean of F)²

The configs set the weights of (7); the student computes (8). The numbers are those of this page.

Source: Zhao, Song, Liang, "Cumulative Spatial Knowledge Distillation for Vision Transformers"
(ICCV 2023, arXiv 2307.08500), sections 3.2 to 3.4, and, for (6), Touvron et al., "Training
data-efficient image transformers & distillation through attention" (arXiv 2012.12877), section 4.
"""

import math
from typing import Callable, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = Tuple[int, int]


def respond(patch_tokens: Tensor, grid: Grid, head: Callable[[Tensor], Tensor], to: Grid) -> Tensor:
    """The student's responses, equation (1): pool first, then the head.

    Pooling and a linear head commute, so these are the pooled logits of all patches, from H·W
    instead of h·w tokens.

    Args:
        patch_tokens (Tensor): (N, h·w, D), row by row.
        grid (tuple[int, int]): (h, w).
        head (Callable): (…, D) → (…, C).
        to (tuple[int, int]): (H, W).

    Returns:
        Tensor: z_s (N, C, H, W).
    """
    tokens = patch_tokens.unflatten(1, grid).permute(0, 3, 1, 2)
    return head(pool(tokens, to).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def pool(responses: Tensor, to: Grid) -> Tensor:
    """Average on another grid, adaptively where the sides do not divide.

    Args:
        responses (Tensor): (N, C, h, w); any channels.
        to (tuple[int, int]): (H, W).

    Returns:
        Tensor: (N, C, H, W).
    """
    (rows, columns), (height, width) = responses.shape[-2:], to
    if (rows, columns) == (height, width):
        return responses
    if rows % height or columns % width:
        return F.adaptive_avg_pool2d(responses, to)
    # The same means; on CUDA an adaptive pool adds up its gradients in no fixed order.
    return F.avg_pool2d(responses, (rows // height, columns // width))


def linear(progress: float) -> float:
    """Equation (2): λ = 1 − p."""
    return 1 - progress


def x2(progress: float) -> float:
    """Equation (2): λ = (1 − p)²."""
    return (1 - progress) ** 2


def cos(progress: float) -> float:
    """Equation (2): λ = cos(πp / 2)."""
    return math.cos(math.pi * progress / 2)


def constant(progress: float, value: float = 1.0) -> float:
    """λ without a schedule: 1 teaches the spatial responses alone, 0 the global one alone."""
    return value


def fuse(spatial_response: Tensor, global_response: Tensor, fusion_weight: float) -> Tensor:
    """Cumulative Knowledge Fusion, equation (3): t = λ·d + (1 − λ)·g.

    Products and sum are rounded separately. A fused multiply-add, which a processor may use for
    some memory addresses only, would make the result of a class depend on its address; the exact
    labels of a bank need the same result everywhere.

    Args:
        spatial_response (Tensor): d (N, C, H, W).
        global_response (Tensor): g (N, C), the same for all locations. In general its dimensions
            are the leading ones of d.
        fusion_weight (float): λ in [0, 1].

    Returns:
        Tensor: t, of the shape of d, in float32 or float64.
    """
    locations = (None,) * (spatial_response.dim() - global_response.dim())
    everywhere = at_least_float32(global_response)[(..., *locations)]
    return at_least_float32(spatial_response).mul(fusion_weight).add_(
        everywhere.mul(1 - fusion_weight)
    )  # fmt: skip


def hard_loss(student_response: Tensor, classes: Tensor) -> Tensor:
    """Equation (4): the mean cross entropy with the teacher's classes.

    Args:
        student_response (Tensor): z (N, C, …).
        classes (Tensor): argmax_C of the teacher's logits (N, …), int64.

    Returns:
        Tensor: A scalar, in float32 or float64.
    """
    # Classes last, as in the output of a head: no copy.
    rows = at_least_float32(student_response).movedim(1, -1).flatten(0, -2)
    return F.cross_entropy(rows, classes.flatten())


def soft_loss(
    student_response: Tensor, teacher_response: Tensor, temperature: float = 1.0
) -> Tensor:
    """Equation (5): the KL divergence over the classes at temperature T, summed, × T² ÷ N.

    Args:
        student_response (Tensor): z (N, C, …).
        teacher_response (Tensor): The teacher's logits (N, C, …).
        temperature (float): T > 0. Defaults to 1.

    Returns:
        Tensor: A scalar, in float32 or float64.
    """
    student, teacher = (
        F.log_softmax(at_least_float32(response).movedim(1, -1) / temperature, dim=-1)
        for response in (student_response, teacher_response)
    )
    divergence = F.kl_div(student, teacher, reduction='sum', log_target=True)
    return divergence * (temperature**2 / student_response.shape[0])


def soft_deit_loss(
    student_logits: Tensor, global_response: Tensor, temperature: float = 1.0
) -> Tensor:
    """Equation (6): as :func:`soft_loss`, but ÷ N·C, as DeiT's reference implementation has it.

    Args:
        student_logits (Tensor): z_dist (N, C).
        global_response (Tensor): g (N, C).
        temperature (float): T > 0. Defaults to 1.

    Returns:
        Tensor: A scalar, in float32 or float64.
    """
    return soft_loss(student_logits, global_response, temperature) / student_logits.shape[1]


def feature_loss(student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """Equation (9): the squared error in parts of the teacher's variance.

    Args:
        student_feature (Tensor): (N, K, H, W).
        teacher_feature (Tensor): F (N, K, H, W).

    Returns:
        Tensor: A scalar, in float32 or float64.
    """
    target = at_least_float32(teacher_feature)
    spread = target.var(correction=0).clamp_min(torch.finfo(target.dtype).tiny)
    return F.mse_loss(at_least_float32(student_feature), target) / spread


def agreement(student_response: Tensor, classes: Tensor) -> Tensor:
    """The share of locations at which the student's class is the teacher's.

    Args:
        student_response (Tensor): z (N, C, …).
        classes (Tensor): argmax_C of the teacher's logits (N, …), int64.

    Returns:
        Tensor: A scalar in [0, 1], without gradient.
    """
    return (student_response.detach().argmax(dim=1) == classes).float().mean()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision would make different logits equal and round small divergences."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
