"""A teacher's distribution of which only the largest part is known class by class."""

from typing import NamedTuple, Tuple

import torch
from torch import Tensor


class PartialTarget(NamedTuple):
    """R distributions over C classes, softmax(t / T): some logits t, and of the others a sum.

    What the others have is spread evenly over them, which is the approximation; none is made where
    all classes are known. The dense (R, C) target never exists.
    """

    classes: Tensor
    """(R, M), int64: which are known, 0 behind a row's last."""
    logits: Tensor
    """(R, M): their t, -inf behind a row's last."""
    rest: Tensor
    """(R,): log Σ exp(t / T) over the others, -inf where there are none."""
    others: Tensor
    """(R,): how many others there are."""

    def to(self, device: torch.device) -> 'PartialTarget':
        """The same on a device, without waiting for it."""
        return PartialTarget(*(upload(part, device) for part in self))

    def divergence(self, log_probs: Tensor, temperature: float) -> Tensor:
        """KL(target ‖ q), over all classes.

        Args:
            log_probs (Tensor): log q (R, C).
            temperature (float): T.

        Returns:
            Tensor: (R,).
        """
        log_known, log_share = self._log_probabilities(temperature)
        known, share = log_known.exp(), log_share.exp()
        there = self.logits > -torch.inf
        theirs = log_probs.gather(1, self.classes)
        others = log_probs.sum(dim=1) - theirs.where(there, 0.0).sum(dim=1)
        among_known = known * (log_known - theirs).where(there, 0.0)
        among_others = share * (self.others * log_share.where(self.others > 0, 0.0) - others)
        return among_known.sum(dim=1) + among_others

    def total_variation(self, probs: Tensor, temperature: float) -> Tensor:
        """½ Σ |target − q|, by twice of which the gradient of the logits is off at most.

        Args:
            probs (Tensor): q (R, C).
            temperature (float): T.

        Returns:
            Tensor: (R,), from 0 to 1.
        """
        log_known, log_share = self._log_probabilities(temperature)
        share = log_share.exp()[:, None]
        theirs = probs.gather(1, self.classes)
        change = (log_known.exp() - theirs).abs() - (share - theirs).abs()
        change = change.where(self.logits > -torch.inf, 0.0).sum(dim=1)
        return ((share - probs).abs().sum(dim=1) + change).clamp(min=0) / 2

    def _log_probabilities(self, temperature: float) -> Tuple[Tensor, Tensor]:
        """Of the known classes (R, M), and of each other one (R,)."""
        known = self.logits / temperature
        total = torch.cat([known, self.rest[:, None]], dim=1).logsumexp(dim=1)
        return known - total[:, None], self.rest - self.others.clamp(min=1).log() - total


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """From host memory to a device, without waiting for it: CUDA waits where memory is not pinned.

    Args:
        tensor (Tensor): On the CPU.
        device (torch.device): Where to.

    Returns:
        Tensor: There.
    """
    if device.type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
