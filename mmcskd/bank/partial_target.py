"""A teacher's distribution of which only the largest part is known class by class."""

from typing import NamedTuple

import torch
from torch import Tensor


class PartialTarget(NamedTuple):
    """R distributions over C classes, softmax(t / T): some logits t, and of the others a sum.

    What the others have is spread evenly over them. That is the approximation; none is made where
    all classes are known.
    """

    classes: Tensor
    """(R, M), int64: which are known, C behind a row's last."""
    logits: Tensor
    """(R, M): their t, of any value behind a row's last."""
    rest: Tensor
    """(R,): log Σ exp(t / T) over the others, -inf where there are none."""
    others: Tensor
    """(R,): how many others there are."""

    def to(self, device: torch.device) -> 'PartialTarget':
        """The same on a device, without waiting for it."""
        return PartialTarget(*(upload(part, device) for part in self))

    def spread(self, num_classes: int, temperature: float) -> Tensor:
        """Logits of all classes, whose softmax at T is the distribution.

        Args:
            num_classes (int): C.
            temperature (float): T.

        Returns:
            Tensor: (R, C).
        """
        each = temperature * (self.rest - self.others.clamp(min=1).log())
        # One column more, for what stands behind a row's last.
        rows = each[:, None].repeat(1, num_classes + 1)
        return rows.scatter_(1, self.classes, self.logits)[:, :num_classes]


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
