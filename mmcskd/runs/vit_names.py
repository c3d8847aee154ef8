"""Names of a ViT's weights in timm and in MMPretrain."""

import re
from typing import Dict, List, Mapping, Tuple

from torch import Tensor

# timm's and MMPretrain's; `{}` is the number of a layer.
NAMES = (
    ('patch_embed.proj.', 'backbone.patch_embed.projection.'),
    ('blocks.{}.norm1.', 'backbone.layers.{}.ln1.'),
    ('blocks.{}.norm2.', 'backbone.layers.{}.ln2.'),
    ('blocks.{}.attn.qkv.', 'backbone.layers.{}.attn.qkv.'),
    ('blocks.{}.attn.proj.', 'backbone.layers.{}.attn.proj.'),
    ('blocks.{}.mlp.fc1.', 'backbone.layers.{}.ffn.layers.0.0.'),
    ('blocks.{}.mlp.fc2.', 'backbone.layers.{}.ffn.layers.1.'),
    ('norm.', 'backbone.ln1.'),
    ('cls_token', 'backbone.cls_token'),
    ('dist_token', 'backbone.dist_token'),
    ('pos_embed', 'backbone.pos_embed'),
    ('head_dist.', 'head.layers.head_dist.'),
    ('head.', 'head.layers.head.'),
)


def to_timm(state: Mapping[str, Tensor]) -> Tuple[Dict[str, Tensor], List[str]]:
    """Weights of MMPretrain's ``VisionTransformer`` and its head under timm's names.

    Args:
        state (dict[str, Tensor]): As ``DistilledVisionTransformer`` has them, too.

    Returns:
        tuple[dict[str, Tensor], list[str]]: The weights, and names without another one.
    """
    return _renamed(state, [(theirs, name) for name, theirs in NAMES])


def from_timm(state: Mapping[str, Tensor]) -> Tuple[Dict[str, Tensor], List[str]]:
    """The reverse of :func:`to_timm`.

    Args:
        state (dict[str, Tensor]): Of timm's ``VisionTransformer``, or of one that is distilled.
    """
    return _renamed(state, NAMES)


def _renamed(state, pairs) -> Tuple[Dict[str, Tensor], List[str]]:
    patterns = [
        (re.compile(re.escape(old).replace(r'\{\}', r'(\d+)')), new.replace('{}', r'\1'))
        for old, new in pairs
    ]
    renamed, unknown = {}, []
    for name, value in state.items():
        pattern, new = next((p for p in patterns if p[0].match(name)), (None, ''))
        if pattern is None:
            unknown.append(name)
        else:
            renamed[pattern.sub(new, name, count=1)] = value
    return renamed, unknown
