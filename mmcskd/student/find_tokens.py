"""Find where a student's patch tokens are, and the norm behind their pooling."""

from typing import Any, Optional

from torch import nn

KEY = 'model.architecture.source'
POOLING_NECKS = ('GlobalAveragePooling', 'GeneralizedMeanPooling')
# The last module before pooling or before the class token is taken, by its name in the backbone.
# RevViT fuses its two streams behind the norm; Conformer's is the norm of its transformer branch.
LAST = ('fusion_layer', 'ln1', 'norm', 'trans_norm')
# Modules that know the grid of their tokens.
EMBEDDINGS = ('patch_embed', 'tokens_to_token', 'trans_patch_conv', 'pixel_embed')


def bare(backbone: Any) -> Any:
    """The backbone without a wrapper such as MMPretrain's ``LoRAModel``."""
    return backbone.module if type(backbone).__name__ == 'LoRAModel' else backbone


def find_layer(model: Any, depth: float, key: str) -> str:
    """Name of the layer behind a share of a student's layers, which all have tokens of one width.

    Args:
        model (nn.Module): The student.
        depth (float): 0 to 1.
        key (str): Its config key, for the message.

    Raises:
        ValueError: If the backbone has no such layers.
    """
    backbone = bare(model.backbone)
    layers = getattr(backbone, 'layers', None)
    if not isinstance(layers, nn.ModuleList) or getattr(backbone, 'embed_dims', 0) != model.width:
        raise ValueError(
            f'{key}: {type(backbone).__name__} is no sequence of layers of one width, as a ViT '
            'is: leave it out, or the loss that takes these tokens.'
        )
    names = {id(module): name for name, module in model.named_modules()}
    return names[id(layers[max(1, round(depth * len(layers))) - 1])]


def find_tokens(model: Any) -> str:
    """Name of the module whose output the stock classifier pools or takes its class token from.

    Args:
        model (nn.Module): The student.

    Returns:
        str: A name in ``named_modules()``.

    Raises:
        ValueError: If none is found.
    """
    neck = getattr(model, 'neck', None)
    parts = list(neck) if isinstance(neck, nn.Sequential) else [neck]
    for index, part in enumerate(parts):
        if type(part).__name__ in POOLING_NECKS:
            return f'neck.{index - 1}' if index else 'backbone'
    backbone = bare(model.backbone)
    prefix = _prefix(model)
    if getattr(backbone, 'gap_before_final_norm', False):
        return f'{prefix}.stages.{len(backbone.stages) - 1}'
    for name in LAST:
        if isinstance(getattr(backbone, name, None), nn.Module):
            return f'{prefix}.{name}'
    # BEiT and others normalise only the pooled token: see `find_norm`.
    layers = getattr(backbone, 'layers', None)
    if isinstance(layers, nn.ModuleList) and find_embedding(backbone) is not None:
        return f'{prefix}.layers.{len(layers) - 1}'
    raise ValueError(
        f'The student ({type(backbone).__name__}) has no patch tokens to distil into that could be '
        f'found: name the module that outputs them with {KEY}, or name a vision transformer in '
        'model.architecture.backbone.type.'
    )


def find_norm(model: Any) -> str:
    """Name of the norm that the stock classifier applies to its pooled token, or ``''``.

    BEiT, fine-tuned ViTs of masked image modelling, TinyViT, EdgeNeXt and ConvNeXt pool first.

    Args:
        model (nn.Module): The student.
    """
    backbone = bare(model.backbone)
    name = ''
    if getattr(backbone, 'gap_before_final_norm', False):
        name = f'norm{len(backbone.stages) - 1}'
    elif getattr(backbone, 'out_type', None) == 'avg_featmap':
        name = 'ln2'
    there = isinstance(getattr(backbone, name, None), nn.Module)
    return f'{_prefix(model)}.{name}' if there else ''


def extra_tokens(backbone: Any) -> int:
    """The number of tokens that a backbone puts before its patches."""
    tokens = (getattr(backbone, name, None) for name in ('cls_token', 'dist_token'))
    return getattr(backbone, 'num_extra_tokens', sum(token is not None for token in tokens))


def find_embedding(backbone: nn.Module) -> Optional[nn.Module]:
    """The module that knows the grid of the tokens."""
    # EfficientFormer flattens its map before the last blocks.
    flats = (module for module in backbone.modules() if type(module).__name__ == 'Flat')
    named = (getattr(backbone, name, None) for name in EMBEDDINGS)
    modules = (module for module in (*flats, *named) if isinstance(module, nn.Module))
    return next(modules, None)


def _prefix(model: Any) -> str:
    return 'backbone' if bare(model.backbone) is model.backbone else 'backbone.module'
