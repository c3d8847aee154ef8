"""The stock heads that have a distillation head of their own, which MMPretrain does not train."""

from typing import Callable, NamedTuple, Optional, Tuple

from torch import Tensor, nn


class OwnDistillation(NamedTuple):
    """How to ask such a head for each of its answers."""

    class_logits: Callable
    """(head, feats) → (N, C), of the class head alone."""
    distillation_logits: Callable
    """(head, tokens (…, D)) → (…, C), of the distillation head."""
    stock_vote: Tuple[str, ...]
    """Whose average the stock head answers at test time."""
    flag: Optional[str] = None
    """The attribute that says whether there is one."""


def _hidden(head: nn.Module, tokens: Tensor) -> Tensor:
    if head.hidden_dim is None:
        return tokens
    return head.layers.act(head.layers.pre_logits(tokens))


def _by_rows(layer: nn.Module, tokens: Tensor) -> Tensor:
    """Batch norms want rows (R, D)."""
    return layer(tokens.reshape(-1, tokens.shape[-1])).unflatten(0, tokens.shape[:-1])


OWN = dict(
    DeiTClsHead=OwnDistillation(
        lambda head, feats: head.layers.head(head.pre_logits(feats)[0]),
        lambda head, tokens: head.layers.head_dist(_hidden(head, tokens)),
        ('cls', 'dist'),
    ),
    # These two distil the pooled feature, whose vote is that of the mean patch.
    EfficientFormerClsHead=OwnDistillation(
        lambda head, feats: head.head(head.pre_logits(feats)),
        lambda head, tokens: head.dist_head(tokens),
        ('cls', 'patch'),
        'dist',
    ),
    LeViTClsHead=OwnDistillation(
        lambda head, feats: head.head(head.pre_logits(feats)),
        lambda head, tokens: _by_rows(head.head_dist, tokens),
        ('cls', 'patch'),
        'distillation',
    ),
)


def own_distillation(head: nn.Module) -> Optional[OwnDistillation]:
    """How to use the head's own distillation head.

    Args:
        head (nn.Module): A stock MMPretrain head.

    Returns:
        OwnDistillation | None: None if it has none.
    """
    own = OWN.get(type(head).__name__)
    return own if own and (own.flag is None or getattr(head, own.flag)) else None
