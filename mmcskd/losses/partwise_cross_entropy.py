"""Cross entropy that keeps the logits alone for its backward pass."""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Log-probabilities exist for one of so many parts of the rows at a time.
PARTS = 8


class PartwiseCrossEntropy(torch.autograd.Function):
    """Mean cross entropy (R, C) → scalar, as ``F.cross_entropy``, whose gradient it has bit for bit.

    That one keeps the log-probabilities of all rows beside the logits, and fills a third such
    tensor on its way back. Here they are computed part by part, and once more on the way back.
    """

    @staticmethod
    def forward(ctx, rows: Tensor, classes: Tensor) -> Tensor:
        """The mean.

        Args:
            rows (Tensor): Logits (R, C).
            classes (Tensor): (R,), int64.

        Returns:
            Tensor: A scalar.
        """
        ctx.save_for_backward(rows, classes)
        sums = [F.cross_entropy(*part, reduction='sum') for part in _parts(rows, classes)]
        return torch.stack(sums).sum() / len(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tuple[Tensor, None]:
        """The gradient of the logits.

        Args:
            gradient (Tensor): Of the mean.

        Returns:
            tuple[Tensor, None]: (R, C), and none for the classes.
        """
        rows, classes = ctx.saved_tensors
        filled = torch.empty_like(rows)
        share = gradient / len(rows)
        for logits, labels, place in _parts(rows, classes, filled):
            with torch.enable_grad():
                logits = logits.detach().requires_grad_()
                total = F.cross_entropy(logits, labels, reduction='sum')
            place.copy_(torch.autograd.grad(total, logits, share)[0])
        return filled, None


def _parts(*tensors: Tensor):
    return zip(*(tensor.split(-(-len(tensor) // PARTS) or 1) for tensor in tensors))
