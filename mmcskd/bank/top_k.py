"""What a bank keeps besides, so that soft targets can be formed of it: approximately."""

from typing import Any, Dict, List, NamedTuple

import torch
from torch import Tensor

from ..method import fuse
from .banked_batch import BankedBatch

# The others' share of a fused response is known where their sum was kept, and interpolated between.
KEPT_AT = (0.0, 0.5, 1.0)
ERROR_AT = (0.0, 0.25, 0.5, 0.75, 1.0)


class TopK(NamedTuple):
    """How many classes of each response are kept, and for which temperatures."""

    k: int
    """The k largest of d at each location, and of g."""
    temperature: float = 1.0
    """T of ``CSKDLoss``."""
    global_temperature: float = 1.0
    """T of ``DeiTLoss``."""

    def kept(self, spatial: Tensor, whole: Tensor) -> Tensor:
        """The classes to keep at each location.

        Args:
            spatial (Tensor): d (N, C, H, W).
            whole (Tensor): g (N, C).

        Returns:
            Tensor: (N, C, H, W) of bool.

        Raises:
            ValueError: If there are fewer than k classes.
        """
        if self.k > whole.shape[1]:
            raise ValueError(
                f'model.bank.top_k is {self.k} and there are {whole.shape[1]} classes: set it to '
                'these at most.'
            )
        mask = torch.zeros_like(spatial, dtype=torch.bool)
        mask.scatter_(1, spatial.topk(self.k, dim=1).indices, True)
        of_all = torch.zeros_like(whole, dtype=torch.bool)
        return mask | of_all.scatter_(1, whole.topk(self.k, dim=1).indices, True)[..., None, None]

    def rest(self, spatial: Tensor, whole: Tensor, kept: Tensor) -> Tensor:
        """log Σ exp(t / T) over the classes not kept, at the fusion weights ``KEPT_AT``.

        Args:
            spatial (Tensor): d (N, C, H, W).
            whole (Tensor): g (N, C).
            kept (Tensor): Of :meth:`kept`.

        Returns:
            Tensor: (N, H, W, 3).
        """
        return torch.stack(
            [
                (fuse(spatial, whole, weight) / self.temperature)
                .masked_fill(kept, -torch.inf)
                .logsumexp(dim=1)
                for weight in KEPT_AT
            ],
            dim=-1,
        )

    def error(self, batch: BankedBatch, spatial: Tensor, whole: Tensor) -> Dict[str, List[float]]:
        """How far approximate targets are from the teacher's own.

        Args:
            batch (BankedBatch): What is kept.
            spatial (Tensor): d (N, C, H, W).
            whole (Tensor): g (N, C).

        Returns:
            dict[str, list[float]]: By the target's name, the mean total variation and the mean KL
            divergence from the teacher's own to the approximate distribution.
        """
        spatial, whole = spatial.float().cpu(), whole.float().cpu()
        classes, found = whole.shape[1], {}
        for weight in ERROR_AT:
            fused = fuse(spatial, whole, weight).movedim(1, -1)
            target = batch.fused_target(weight, classes)
            found[f'λ = {weight:g}'] = _error(target, fused.flatten(0, 2), self.temperature)
        target = batch.global_target(classes)
        found['g'] = _error(target, whole, self.global_temperature)
        return found


def check_top_k(top_k: Any) -> None:
    """Whether this is a number of classes, or None.

    Raises:
        ValueError: Otherwise.
    """
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f'model.bank.top_k is {top_k!r}, expected a number of classes > 0.')


def describe(top_k: int, error: Dict[str, List[float]]) -> str:
    """The error in a sentence, for logs.

    Args:
        top_k (int): k.
        error (dict): Of :meth:`TopK.error`.

    Returns:
        str: With the total variation of each target.
    """
    each = ', '.join(f'{name}: {distance:.2g}' for name, (distance, _) in error.items())
    return (
        f'Soft targets from this bank are approximate, with model.bank.top_k={top_k}. Mean total '
        f"variation from the teacher's own: {each}."
    )


def mean_error(errors: List[Dict[str, List[float]]]) -> Dict[str, List[float]]:
    """The mean of several of :meth:`TopK.error`."""
    return {
        name: torch.tensor([each[name] for each in errors]).double().mean(dim=0).tolist()
        for name in errors[0]
    }


def _error(target, logits: Tensor, temperature: float) -> List[float]:
    true = (logits / temperature).log_softmax(dim=1)
    distance = target.total_variation(true.exp(), temperature).mean()
    divergence = target.divergence(true, temperature).mean()
    return [float(distance), float(divergence)]
