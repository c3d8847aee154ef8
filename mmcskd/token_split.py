from typing import Tuple

from torch import Tensor, nn


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
        extra = self.num_extra_tokens
        return tokens.split([extra, tokens.shape[1] - extra], dim=1)
