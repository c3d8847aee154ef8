"""What a bank keeps in addition for approximate soft targets."""

from typing import Any, Dict, List, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..method import fuse
from .banked_batch import BankedBatch

# Fusion weights at which the sum over the other classes is kept; between them it is interpolated.
KEPT_AT = (0.0, 0.5, 1.0)
ERROR_AT = (0.0, 0.25, 0.5, 0.75, 1.0)


class TopK(NamedTuple):
    """The number of kept classes of each response, and the temperatures."""

    k: int
    """The k largest of d at each location, and of g."""
    temperature: float = 1.0
    """T of ``CSKDLoss``."""
    global_temperature: float = 1.0
    """T of ``DeiTLoss``."""

    def kept(self, spatial_response: Tensor, global_response: Tensor) -> Tensor:
        """Which classes are kept at each location, (N, C, H, W) of bool, of d and g.

        Raises:
            ValueError: If there are fewer than k classes.
        """
        if self.k > global_response.shape[1]:
            raise ValueError(
                f'model.bank.top_k is {self.k} and there are {global_response.shape[1]} classes: '
                'set it to these at most.'
            )
        of_location, of_image = (
            torch.zeros_like(response, dtype=torch.bool).scatter_(
                1, response.topk(self.k, dim=1).indices, True
            )
            for response in (spatial_response, global_response)
        )
        return of_location | of_image[..., None, None]

    def rest(self, spatial_response: Tensor, global_response: Tensor, kept: Tensor) -> Tensor:
        """log Σ exp(t / T) over the classes not kept, at each of ``KEPT_AT``: (N, H, W, 3)."""
        return torch.stack(
            [
                (fuse(spatial_response, global_response, weight) / self.temperature)
                .masked_fill(kept, -torch.inf)
                .logsumexp(dim=1)
                for weight in KEPT_AT
            ],
            dim=-1,
        )

    def error(
        self, batch: BankedBatch, spatial_response: Tensor, global_response: Tensor
    ) -> Dict[str, List[float]]:
        """How far approximate targets are from the teacher's own, of d (N, C, H, W) and g (N, C).

        Returns:
            dict[str, list[float]]: For each target, the mean total variation and the mean KL
            divergence from the teacher's own to the approximate distribution.
        """
        spatial_response, global_response = (
            response.float().cpu() for response in (spatial_response, global_response)
        )
        classes, found = global_response.shape[1], {}
        for weight in ERROR_AT:
            fused = fuse(spatial_response, global_response, weight).movedim(1, -1).flatten(0, 2)
            target = batch.fused_target(weight, classes).spread(classes, self.temperature)
            found[f'λ = {weight:g}'] = _error(target, fused, self.temperature)
        target = batch.global_target(classes).spread(classes, self.global_temperature)
        found['g'] = _error(target, global_response, self.global_temperature)
        return found


def check_top_k(top_k: Any) -> None:
    """Raises ValueError for anything but a number of classes or None."""
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f'model.bank.top_k is {top_k!r}, expected a number of classes > 0.')


def describe(top_k: int, error: Dict[str, List[float]]) -> str:
    """The total variations of :meth:`TopK.error` in a sentence, for logs."""
    each = ', '.join(f'{name}: {distance:.2g}' for name, (distance, _) in error.items())
    return (
        f'Soft targets from this bank are approximate, with model.bank.top_k={top_k}. Mean total '
        f"variation from the teacher's own: {each}."
    )


def mean_error(errors: List[Dict[str, List[float]]]) -> Dict[str, List[float]]:
    """The mean of several results of :meth:`TopK.error`."""
    return {
        name: torch.tensor([each[name] for each in errors]).double().mean(dim=0).tolist()
        for name in errors[0]
    }


def _error(target: Tensor, logits: Tensor, temperature: float) -> List[float]:
    """Means over R rows (R, C) of the total variation ½ Σ |p − q| and of the KL divergence."""
    approximate, true = (F.log_softmax(each / temperature, dim=1) for each in (target, logits))
    distance = (approximate.exp() - true.exp()).abs().sum(dim=1).mean() / 2
    divergence = F.kl_div(true, approximate, reduction='batchmean', log_target=True)
    return [float(distance), float(divergence)]
