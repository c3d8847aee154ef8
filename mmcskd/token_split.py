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

    def forward(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
        """Part them.

        Args:
            tokens (Tensor): (N, L, D).

        Returns:
            tuple[Tensor, Tensor]: Extra tokens (N, E, D) and patch tokens (N, L − E, D).
        """
        if self.training:
            return _Split.apply(tokens, self.num_extra_tokens)
        extra = self.num_extra_tokens
        return tokens.split([extra, tokens.shape[1] - extra], dim=1)


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


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, num_extra_tokens: int) -> Tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.extra, ctx.patches = num_extra_tokens, tokens[:, num_extra_tokens:].shape
        return tokens[:, :num_extra_tokens], tokens[:, num_extra_tokens:]

    @staticmethod
    @once_differentiable
    def backward(
        ctx, of_extra: Optional[Tensor], of_patches: Optional[Tensor]
    ) -> Tuple[Optional[Tensor], None]:
        if of_extra is None and of_patches is None:
            return None, None
        whole = getattr(of_patches, 'whole', None)
        if whole is None:
            patches = leave_room(
                ctx.patches, ctx.extra, of_extra if of_patches is None else of_patches
            )
            patches.copy_(of_patches) if of_patches is not None else patches.zero_()
            whole = patches.whole
        extra = whole[:, : ctx.extra]
        extra.copy_(of_extra) if of_extra is not None else extra.zero_()
        return whole, None
