from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class TokenSplit(nn.Module):
    """Part the extra tokens from the patches, once for all who take either.

    So their gradients are joined in one buffer; each slice of its own would fill one of the size
    of all tokens. It is a module, without weights, for recorders to hook.

    Args:
        num_extra_tokens (int): How many tokens come before the patches.
    """

    def __init__(self, num_extra_tokens: int) -> None:
        super().__init__()
        self.num_extra_tokens = num_extra_tokens

    def forward(self, tokens: Tensor) -> Tuple[Tuple[Tensor, ...], Tensor]:
        """Part them.

        Args:
            tokens (Tensor): (N, L, D).

        Returns:
            tuple[tuple[Tensor, ...], Tensor]: E extra tokens (N, D) and patch tokens (N, L − E, D).
        """
        if self.training:
            *extra, patches = _Split.apply(tokens, self.num_extra_tokens)
            return tuple(extra), patches
        return _parts(tokens, self.num_extra_tokens)


def leave_room(shape: torch.Size, num_extra_tokens: int, like: Tensor) -> Tensor:
    """An empty gradient of patch tokens, in a buffer with room for that of the extra tokens.

    :class:`TokenSplit` then joins the two where they lie.

    Args:
        shape (torch.Size): (N, L − E, D).
        num_extra_tokens (int): E.
        like (Tensor): Of its dtype and device.

    Returns:
        Tensor: (N, L − E, D), to be filled.
    """
    n, patches, width = shape
    whole = like.new_empty(n, num_extra_tokens + patches, width)
    gradient = whole[:, num_extra_tokens:]
    gradient.whole = whole
    return gradient


def _parts(tokens: Tensor, extra: int) -> Tuple[Tuple[Tensor, ...], Tensor]:
    return tokens[:, :extra].unbind(dim=1), tokens[:, extra:]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, num_extra_tokens: int) -> Tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        extra, patches = _parts(tokens, num_extra_tokens)
        ctx.shape = patches.shape
        return *extra, patches

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Optional[Tensor]) -> Tuple[Optional[Tensor], None]:
        *extra, patches = gradients
        like = next((each for each in gradients if each is not None), None)
        if like is None:
            return None, None
        whole = getattr(patches, 'whole', None)
        if whole is None:
            filled = leave_room(ctx.shape, len(extra), like)
            whole = filled.whole
            _fill(filled, patches)
        for index, gradient in enumerate(extra):
            _fill(whole[:, index], gradient)
        return whole, None


def _fill(place: Tensor, gradient: Optional[Tensor]) -> None:
    place.zero_() if gradient is None else place.copy_(gradient)
