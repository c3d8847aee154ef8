from typing import List, Optional, Sequence, Tuple, Union

import torch
from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ..checks.typed import typed
from .token_split import TokenSplit
from .vote import check_vote


@MODELS.register_module()
class CSKDDeiTHead(DeiTClsHead):
    """A DeiT head that can be trained by distillation.

    In training the class token alone meets the labels (base loss on z_cls); the distillation token
    and the patch tokens meet the teacher, through :meth:`distillation_logits` and the connectors.
    At test time the score is the average of the voters. Its weights carry the names of
    MMPretrain's ``DeiTClsHead``: ``layers.head`` and ``layers.head_dist``.

    The backbone must output all tokens: ``out_type='raw'``. Source: CSKD, section 3.4.

    Args:
        num_classes (int): C.
        in_channels (int): D, the width of a token.
        vote (Sequence[str]): Who votes at test time, of ``'cls'`` (z_cls), ``'dist'`` (z_dist)
            and ``'patch'`` (the mean of the patch logits). Defaults to all.
        **kwargs: Of ``mmpretrain.models.DeiTClsHead``. Weigh ``loss`` by 1 − α where a
            :class:`~mmcskd.DeiTLoss` weighs α.

    Raises:
        ValueError: For an unknown or repeated voter, none at all, or a backbone output that is
            not all the tokens.
    """

    num_extra_tokens = 2
    voters = ('cls', 'dist', 'patch')

    @typed
    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        vote: Optional[Union[str, Sequence[str]]] = None,
        **kwargs,
    ) -> None:
        for name, size in (('num_classes', num_classes), ('in_channels', in_channels)):
            if size < 1:
                raise ValueError(f'{type(self).__name__}.{name} is {size}, expected a number > 0.')
        super().__init__(num_classes=num_classes, in_channels=in_channels, **kwargs)
        key = f'model.architecture.head.vote of {type(self).__name__}'
        self.vote = check_vote(vote, self.voters, key)
        self.split = TokenSplit(self.num_extra_tokens)

    def _features(self, tokens: Tensor) -> Tensor:
        """Through the hidden layer, if the head has one: (…, D) → (…, D')."""
        if self.hidden_dim is None:
            return tokens
        return self.layers.act(self.layers.pre_logits(tokens))

    def distillation_logits(self, tokens: Tensor) -> Tensor:
        """Class logits of any tokens by the distillation head: (…, D) → (…, C)."""
        return self.layers.head_dist(self._features(tokens))

    def class_logits(self, tokens: Tensor) -> Tensor:
        """Class logits of the class token: (…, D) → (…, C)."""
        return self.layers.head(self._features(tokens))

    def pre_logits(self, feats: Tuple[Tensor]) -> Tensor:
        """All tokens (N, L, D) of the last stage."""
        tokens = feats[-1]
        if not isinstance(tokens, Tensor) or tokens.dim() != 3:
            raise ValueError(
                f'{type(self).__name__} needs all tokens (N, L, D) of the backbone: set '
                'model.architecture.backbone.out_type="raw".'
            )
        return tokens

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """The score at test time.

        Args:
            feats (tuple[Tensor]): Tokens (N, L, D) in the last place.

        Returns:
            Tensor: (N, C), the average of the voters. The vote of the patches is taken once on
            their mean token, which for a linear head is the mean of their votes.
        """
        extra, patches = self.split(self.pre_logits(feats))
        votes = dict(
            cls=lambda: self.class_logits(extra[0]),
            dist=lambda: self.distillation_logits(extra[1]),
            patch=lambda: self.distillation_logits(patches.mean(dim=1)),
        )
        return torch.stack([votes[voter]() for voter in self.vote]).mean(dim=0)

    def loss(self, feats: Tuple[Tensor], data_samples: List[DataSample], **kwargs) -> dict:
        """The base loss, on the class token.

        Args:
            feats (tuple[Tensor]): Tokens (N, L, D) in the last place.
            data_samples (list[DataSample]): The labels.
            **kwargs: Of the loss module.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        extra, _ = self.split(self.pre_logits(feats))
        cls_score = self.class_logits(extra[0])
        return self._get_loss(cls_score, data_samples, **kwargs)
