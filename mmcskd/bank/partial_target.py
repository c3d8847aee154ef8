"""A distribution whose largest classes are known one by one, the others as a sum."""

from typing import NamedTuple

import torch
from torch import Tensor


class PartialTarget(NamedTuple):
    """R distributions over C classes, softmax(t / T): some logits t, and a sum for the others.

    The sum is spread evenly over the other classes. This is the only approximation; there is none
    if all classes are known.
    """

    classes: Tensor
    """(R, M), int64: the known classes, padded with C."""
    logits: Tensor
    """(R, M): their t; padding has any value."""
    rest: Tensor
    """(R,): log Σ exp(t / T) over the others, -inf without others."""
    others: Tensor
    """(R,): the number of others."""

    def to(self, device: torch.device) -> 'PartialTarget':
        """Copy to a device without blocking."""
        return PartialTarget(*(upload(part, device) for part in self))

    def spread(self, num_classes: int, temperature: float) -> Tensor:
        """Logits of all classes; their softmax at T is the distribution.

        Args:
            num_classes (int): C.
            temperature (float): T.

        Returns:
            Tensor: (R, C).
        """
        each = temperature * (self.rest - self.others.clamp(min=1).log())
        # One more column, for padding.
        rows = each[:, None].repeat(1, num_classes + 1)
        return rows.scatter_(1, self.classes, self.logits)[:, :num_classes]


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from host memory without waiting: CUDA waits where memory is not pinned."""
    if device.type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
