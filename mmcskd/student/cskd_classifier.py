from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ..checks.suggest import nearest
from ..checks.typed import typed
from ..compat import bridge_unused_norms
from .find_tokens import find_norm
from .release_0_1 import rename_weights
from .stock_model import stock_model
from .token_source import TokenSource

# Stock heads with a distillation head, which MMPretrain does not train: its name, and the voters of
# the stock score. The last two distil the pooled feature, whose logits are those of the mean patch.
OWN = dict(
    DeiTClsHead=('layers.head_dist', ('cls', 'dist')),
    EfficientFormerClsHead=('dist_head', ('cls', 'patch')),
    LeViTClsHead=('head_dist', ('cls', 'patch')),
)


@MODELS.register_module()
class CSKDClassifier(ImageClassifier):
    """Any stock classifier as a student: its tokens get class logits by a distillation head.

    Change the ``type`` of a stock model, or name its config with ``cfg_path``; backbone, neck and
    head stay as they are. The base loss is the stock head's own, on its own logits.

    A further linear layer, ``head_dist``, gives class logits of any token. Its tokens are the
    features that the stock model pools or takes its class token from, see
    :class:`~mmcskd.student.token_source.TokenSource`. If the backbone normalises only the pooled
    feature (BEiT, TinyViT …), that norm is applied to the tokens first. If the stock head has a
    distillation head (``DeiTClsHead``, ``LeViTClsHead``, ``EfficientFormerClsHead``), that one is
    trained and there is no ``head_dist``; the base loss is that of the class head alone.

    Source: CSKD, sections 3.2 and 3.4.

    Args:
        cfg_path (str, optional): The stock config whose model it is, as
            ``'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py'``. Other arguments are merged
            into it. Defaults to None: they are the whole model.
        vote (str | Sequence[str], optional): Whose logits are averaged to the score, of ``'cls'``
            (the stock logits; those of the class head, if there are two), ``'dist'`` (the
            distillation token) and ``'patch'`` (the mean over the patch tokens). Defaults to None:
            all that exist. ``'cls'`` alone is the stock architecture without the distillation head.
        source (str, optional): Name of the module that outputs the tokens. Defaults to None: it is
            found automatically.
        finetune (bool): For fine-tuning by labels without a teacher: the base loss is on the score,
            so that both heads learn from the labels, as timm trains a distilled DeiT without a
            teacher. Defaults to False.
        **kwargs: Arguments of ``mmpretrain.models.ImageClassifier``.

    Raises:
        ValueError: If the config is none of an ``ImageClassifier``, no tokens are found, the head
            does not state its classes and width, a voter is unknown, or ``finetune`` is set and the
            voters leave one of the heads without a gradient.

    Examples:
        >>> swin = 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py'
        >>> student = dict(type='mmpretrain.CSKDClassifier', cfg_path=swin)
    """

    rename_weights = staticmethod(rename_weights)

    @typed
    def __init__(
        self,
        cfg_path: Optional[str] = None,
        vote: Optional[Union[str, Sequence[str]]] = None,
        source: Optional[str] = None,
        finetune: bool = False,
        **kwargs,
    ) -> None:
        if cfg_path is not None:
            kwargs = stock_model(cfg_path, kwargs)
            kwargs.pop('type')
        if kwargs.get('backbone') is None or kwargs.get('head') is None:
            missing = 'backbone' if kwargs.get('backbone') is None else 'head'
            raise ValueError(
                f'CSKDClassifier needs a {missing}: set model.architecture.{missing}, or name a '
                'stock config that has one with model.architecture.cfg_path.'
            )
        # In any scope of the algorithm, a stock model's parts are MMPretrain's.
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            super().__init__(**kwargs)
        if getattr(self.backbone, 'out_type', None) == 'raw':
            raise ValueError(
                f'{type(self.head).__name__} takes the class token, but '
                'model.architecture.backbone.out_type is "raw", all tokens: leave it out.'
            )
        bridge_unused_norms(self.backbone)
        self.width = _size(self.head, 'in_channels')
        own, vote_with_own = OWN.get(type(self.head).__name__, ('', ()))
        # Two of the heads have it as an option.
        self._own = own if own in dict(self.head.named_modules()) else ''
        self.stock_vote = vote_with_own if self._own else ('cls',)
        if not self._own:
            self.head_dist = nn.Linear(self.width, _size(self.head, 'num_classes'))
        self._register_load_state_dict_pre_hook(rename_weights)
        self._norm = find_norm(self)
        self.token_source = TokenSource(self, source)
        voters = ('cls', 'dist', 'patch') if 'dist' in self.stock_vote else ('cls', 'patch')
        self.finetune = finetune
        self.vote = _check_vote(vote, voters, finetune)

    def distillation_logits(self, tokens: Tensor) -> Tensor:
        """Class logits of any tokens by the distillation head: (…, D) → (…, C)."""
        norm = self.get_submodule(self._norm) if self._norm else None
        if isinstance(norm, nn.LayerNorm):
            # As a function: MMPretrain's LayerNorm2d, the same layer, accepts maps only.
            tokens = F.layer_norm(tokens, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        elif norm is not None:
            tokens = norm(tokens)
        if not self._own:
            return self.head_dist(tokens)
        if getattr(self.head, 'hidden_dim', None) is not None:
            tokens = self.head.layers.act(self.head.layers.pre_logits(tokens))
        layer = self.head.get_submodule(self._own)
        if isinstance(layer, nn.Linear):
            return layer(tokens)
        # LeViT's has a batch norm, which needs rows.
        return layer(tokens.reshape(-1, tokens.shape[-1])).unflatten(0, tokens.shape[:-1])

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        mode: str = 'tensor',
    ):
        """As in every MMPretrain classifier; ``'tensor'`` and ``'predict'`` give the voters' score.

        Args:
            inputs (Tensor): (N, 3, height, width), preprocessed.
            data_samples (list[DataSample], optional): The labels. Defaults to None.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``. Defaults to ``'tensor'``.
        """
        if mode == 'tensor' and not self._is_stock():
            return self._score(inputs)
        return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: List[DataSample]) -> dict:
        """The base loss, ``loss``, the stock head's own; arguments as in :meth:`forward`."""
        if self.finetune:
            return self.head._get_loss(self._score(inputs), data_samples)
        if not self._own:
            return super().loss(inputs, data_samples)
        logits = self._class_logits(self.extract_feat(inputs))
        return self.head._get_loss(logits, data_samples)

    def predict(
        self, inputs: Tensor, data_samples: Optional[List[DataSample]] = None, **kwargs
    ) -> List[DataSample]:
        """The prediction of the voters, ``pred_score`` and ``pred_label`` of each image.

        Arguments as in :meth:`forward`; others are for the stock head's ``predict``, if the stock
        logits alone vote.
        """
        if self._is_stock():
            return super().predict(inputs, data_samples, **kwargs)
        return self.head._get_predictions(self._score(inputs), data_samples)

    def _is_stock(self) -> bool:
        """Whether the stock pass gives the score; heads that distil raise errors in training."""
        return self.vote == self.stock_vote and not (self._own and self.training)

    def _score(self, inputs: Tensor) -> Tensor:
        """(N, C), the average of the voters."""
        self.token_source.start()
        try:
            feats = self.extract_feat(inputs)
        finally:
            tokens = self.token_source.stop()
        place = f'"{self.token_source.source}"'
        if tokens is None:
            raise ValueError(
                f'model.architecture.source: the student did not run {place}, name the module that '
                'outputs its patch tokens.'
            )
        if 'dist' in self.vote and tokens.num_extra_tokens < 2:
            raise ValueError(
                f'model.architecture.source: {place} gave no distillation token, name the module '
                'that outputs all tokens.'
            )
        extra, patches = tokens.parts
        votes = dict(
            cls=lambda: self._class_logits(feats),
            dist=lambda: self.distillation_logits(extra[:, 1]),
            # The logits of the mean token are the mean of the logits.
            patch=lambda: self.distillation_logits(patches.mean(dim=1)),
        )
        return torch.stack([votes[voter]() for voter in self.vote]).mean(dim=0)

    def _class_logits(self, feats) -> Tensor:
        """(N, C), of the class head alone."""
        if self._own:
            feats = self.head.pre_logits(feats)
            if isinstance(feats, tuple):  # DeiT: of both tokens
                return self.head.layers.head(feats[0])
            return self.head.head(feats)
        logits = self.head(feats)
        # Conformer's two branches, summed as in its own prediction.
        return logits[0] + logits[1] if isinstance(logits, (tuple, list)) else logits


def _check_vote(
    vote: Optional[Union[str, Sequence[str]]], voters: Sequence[str], finetune: bool
) -> Tuple[str, ...]:
    key = 'model.vote' if finetune else 'model.architecture.vote'
    vote = tuple(voters) if vote is None else (vote,) if isinstance(vote, str) else tuple(vote)
    for voter in vote:
        if voter not in voters:
            raise ValueError(f'{key}: "{voter}" has no vote. ' + nearest(voter, voters))
    if not vote or len(set(vote)) < len(vote):
        raise ValueError(f'{key} is {vote}, expected one or more of {tuple(voters)}.')
    if finetune and ('cls' not in vote or len(vote) < 2):
        raise ValueError(
            f'{key} is {vote} and {key[:-4]}finetune is set: one of the two heads would learn '
            f'nothing. Let "cls" vote and one or more of {tuple(voters[1:])}, or fine-tune the '
            'stock model, of type "ImageClassifier".'
        )
    return vote


def _size(head: nn.Module, key: str) -> int:
    """``in_channels`` or ``num_classes`` of a head, stated or of its first or last layer."""
    size = getattr(head, key, None)
    if isinstance(size, (tuple, list)):  # Conformer: widths of its maps and of its tokens
        size = size[-1]
    layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    if not size and layers:
        size = layers[0].in_features if key == 'in_channels' else layers[-1].out_features
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            f'{type(head).__name__} has no {key}, from which the distillation head takes its size: '
            'set model.architecture.head.type to a head with a linear classifier.'
        )
    return size
