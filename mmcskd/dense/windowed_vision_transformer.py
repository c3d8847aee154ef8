from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models import DistilledVisionTransformer
from mmpretrain.models.utils import MultiheadAttention
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..checks.typed import typed


@MODELS.register_module()
class WindowedVisionTransformer(DistilledVisionTransformer):
    """MMPretrain's distilled ViT with most of its attention in windows, for large images.

    Attention over all tokens of a 1344 × 800 image needs 36 times the memory of attention within
    14 × 14 windows. As in ViTDet, a few evenly spaced layers stay global and carry information
    across windows. With windows of the grid of distillation (14 × 14 at 224 pixels) each layer has
    sequences of the same length as in distillation.

    Every window contains the class and distillation tokens; after the layer each of them is its
    mean over the windows. The last windows are padded, and padding is masked. An image of one
    window has the output of the stock backbone. Weights and their names are the stock backbone's.

    Source: "Exploring Plain Vision Transformer Backbones for Object Detection" (ViTDet,
    arXiv 2203.16527), section 3.

    Args:
        window_size (int): Side of a window in patches. Defaults to 14.
        global_layers (Sequence[int]): Indices of the layers whose attention is global. Defaults to
            ``(2, 5, 8, 11)``, for twelve layers.
        **kwargs: Arguments of ``mmpretrain.models.DistilledVisionTransformer``; ``out_type``
            defaults to ``'featmap'``.

    Raises:
        ValueError: For a window without patches or the index of a missing layer.
    """

    @typed
    def __init__(
        self,
        *,
        window_size: int = 14,
        global_layers: Sequence[int] = (2, 5, 8, 11),
        **kwargs,
    ) -> None:
        super().__init__(**{'out_type': 'featmap', **kwargs})
        if window_size < 1:
            raise ValueError(
                f'WindowedVisionTransformer.window_size is {window_size}, expected at least 1.'
            )
        strange = [index for index in global_layers if not 0 <= index < self.num_layers]
        if strange:
            raise ValueError(
                f'WindowedVisionTransformer.global_layers has {strange}, but the backbone has '
                f'layers 0 to {self.num_layers - 1}.'
            )
        self.patch_embed.register_forward_hook(self._note_grid)
        for index, layer in enumerate(self.layers):
            if index not in global_layers:
                layer.attn = _InWindows(layer.attn, window_size, self.num_extra_tokens)

    def _note_grid(self, module: nn.Module, inputs: Tuple, outputs: Tuple) -> None:
        for layer in self.layers:
            layer.attn.grid = outputs[1]


class _InWindows(MultiheadAttention):
    """The same attention with the same weights, within each window."""

    def __init__(self, stock: MultiheadAttention, side: int, num_extra_tokens: int) -> None:
        super().__init__(stock.embed_dims, stock.num_heads, attn_drop=stock.attn_drop)
        for name in ('qkv', 'proj', 'proj_drop', 'out_drop', 'gamma1'):
            setattr(self, name, getattr(stock, name))
        self.side, self.num_extra_tokens = side, num_extra_tokens
        self.grid: Tuple[int, int] = (0, 0)  # set by the patch embedding

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, D) → (N, L, D), the extra tokens and then the patches of ``grid`` by rows."""
        n, side, extra = len(x), self.side, self.num_extra_tokens
        height, width = self.grid
        rows, columns = -(-height // side), -(-width // side)
        qkv = self.qkv(x)
        patches = F.pad(
            qkv[:, extra:].unflatten(1, self.grid),
            (0, 0, 0, columns * side - width, 0, rows * side - height),
        )
        patches = patches.unflatten(2, (columns, side)).unflatten(1, (rows, side))
        # (N, rows, side, columns, side, 3·D) → (N·windows, side², 3·D)
        patches = patches.transpose(2, 3).reshape(n * rows * columns, side * side, -1)
        windows = torch.cat([qkv[:, :extra].repeat_interleave(rows * columns, dim=0), patches], 1)
        query, key, value = (
            windows.unflatten(2, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4)
        )  # fmt: skip
        windows = self.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=self._mask(n, rows, columns, x.device),
            dropout_p=self.attn_drop if self.training else 0.0,
        )
        windows = windows.transpose(1, 2).flatten(2)
        ours = windows[:, :extra].unflatten(0, (n, -1)).mean(dim=1)
        patches = windows[:, extra:].reshape(n, rows, columns, side, side, -1).transpose(2, 3)
        patches = patches.reshape(n, rows * side, columns * side, -1)[:, :height, :width]
        x = self.proj(torch.cat([ours, patches.flatten(1, 2)], dim=1))
        return self.out_drop(self.gamma1(self.proj_drop(x)))

    def _mask(self, n: int, rows: int, columns: int, device: torch.device) -> Optional[Tensor]:
        """(N·windows, 1, 1, tokens) of bool, False for padding; None without padding."""
        side, (height, width) = self.side, self.grid
        if (height, width) == (rows * side, columns * side):
            return None
        real = torch.zeros(rows * side, columns * side, dtype=torch.bool, device=device)
        real[:height, :width] = True
        real = real.unflatten(1, (columns, side)).unflatten(0, (rows, side))
        real = real.transpose(1, 2).reshape(rows * columns, 1, 1, side * side)
        return F.pad(real, (self.num_extra_tokens, 0), value=True).repeat(n, 1, 1, 1)
