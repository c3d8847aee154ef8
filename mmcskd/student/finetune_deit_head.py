from typing import List, Tuple

from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ..checks.typed import typed
from .cskd_deit_head import CSKDDeiTHead


@MODELS.register_module()
class FinetuneDeiTHead(CSKDDeiTHead):
    """The DeiT head for fine-tuning by labels alone, without a teacher.

    What meets the labels in training is what answers at test time: the average of the voters. So
    both linear heads learn, and with them every weight of the backbone. timm trains its distilled
    DeiT likewise where there is no teacher. The backbone must output all tokens:
    ``out_type='raw'``.

    Args:
        num_classes (int): C.
        in_channels (int): D, the width of a token.
        vote (Sequence[str]): Who votes in training and at test time: ``'cls'`` and one or both of
            ``'dist'`` and ``'patch'``. Defaults to all; ``('cls', 'dist')`` is DeiT's own average,
            and stock MMPretrain's.
        **kwargs: Of :class:`~mmcskd.CSKDDeiTHead`.

    Raises:
        ValueError: As :class:`~mmcskd.CSKDDeiTHead`, and for voters that leave one of the two
            heads without a gradient.
    """

    @typed
    def __init__(self, num_classes: int, in_channels: int, **kwargs) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **kwargs)
        if 'cls' not in self.vote or len(self.vote) < 2:
            raise ValueError(
                f'model.head.vote of FinetuneDeiTHead is {self.vote}: one of the two heads would '
                'learn nothing. Let "cls" vote and one or both of "dist" and "patch", or fine-tune '
                'without a distillation token: "VisionTransformer" with '
                '"VisionTransformerClsHead".'
            )

    def loss(self, feats: Tuple[Tensor], data_samples: List[DataSample], **kwargs) -> dict:
        """The classification loss of the voters' average.

        Args:
            feats (tuple[Tensor]): Tokens (N, L, D) in the last place.
            data_samples (list[DataSample]): The labels.
            **kwargs: Of the loss module.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        return self._get_loss(self(feats), data_samples, **kwargs)
