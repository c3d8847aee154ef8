from typing import Optional, Sequence, Tuple

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..checks.typed import typed

SCALES = (4.0, 2.0, 1.0, 0.5)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """A feature pyramid from the single-scale map of a plain ViT.

    Every level comes from the backbone's last map alone: transposed convolutions upwards or max
    pooling downwards, then a 1 × 1 and a 3 × 3 convolution with layer norm. With patches of 16
    pixels the levels have strides 4, 8, 16 and 32; further ones are pooled from the last, as in
    MMDetection's ``FPN``.

    Source: "Exploring Plain Vision Transformer Backbones for Object Detection" (ViTDet,
    arXiv 2203.16527), section 3; MMDetection 3.3 has it in its projects only, not in its package.

    Args:
        in_channels (int): D, the width of the backbone.
        out_channels (int): Channels of every level. Defaults to 256.
        scales (Sequence[float]): Sizes of the levels relative to the backbone's map, any of 4, 2, 1
            and 0.5. Defaults to all, ``(4, 2, 1, 0.5)``.
        num_outs (int, optional): Number of levels; those beyond ``scales`` have half the size of
            the one before. Defaults to None: as many as ``scales``.
        init_cfg (dict, optional): As in every MMEngine module. Defaults to None.

    Raises:
        ValueError: For too few channels, other scales or fewer levels than scales.
    """

    @typed
    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = SCALES,
        num_outs: Optional[int] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        # The finest level has an intermediate map of a quarter of the width.
        for key, width, least in (
            ('in_channels', in_channels, 4),
            ('out_channels', out_channels, 1),
        ):
            if width < least:
                raise ValueError(
                    f'SimpleFeaturePyramid.{key} is {width}, expected at least {least}.'
                )
        if not scales or any(scale not in SCALES for scale in scales):
            raise ValueError(f'SimpleFeaturePyramid.scales is {scales}, expected any of {SCALES}.')
        self.num_outs = len(scales) if num_outs is None else num_outs
        if self.num_outs < len(scales):
            raise ValueError(
                f'SimpleFeaturePyramid.num_outs is {num_outs} for {len(scales)} scales, expected '
                'at least as many.'
            )
        self.levels = nn.ModuleList(
            _level(in_channels, out_channels, float(scale)) for scale in scales
        )

    def forward(self, inputs: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
        """The levels of a batch.

        Args:
            inputs (tuple[Tensor]): Maps of the backbone, (N, D, h, w); the last one is used.

        Returns:
            tuple[Tensor]: (N, out_channels, h·scale, w·scale) each, finest first.
        """
        levels = [level(inputs[-1]) for level in self.levels]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return tuple(levels)


def _level(width: int, out_channels: int, scale: float) -> nn.Sequential:
    parts, halves = [], 0
    if scale == 4:
        parts += [
            nn.ConvTranspose2d(width, width // 2, 2, stride=2),
            LayerNorm2d(width // 2),
            nn.GELU(),
            nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
        ]
        halves = 2
    elif scale == 2:
        parts, halves = [nn.ConvTranspose2d(width, width // 2, 2, stride=2)], 1
    elif scale == 0.5:
        parts = [nn.MaxPool2d(2, stride=2, ceil_mode=True)]
    norm = dict(type='mmpretrain.LN2d')
    convolution = dict(norm_cfg=norm, act_cfg=None, bias=False)
    parts.append(ConvModule(width // 2**halves, out_channels, 1, **convolution))
    parts.append(ConvModule(out_channels, out_channels, 3, padding=1, **convolution))
    return nn.Sequential(*parts)
