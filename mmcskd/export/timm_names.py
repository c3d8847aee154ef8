"""MMPretrain's names of a ViT's weights → timm's."""

from typing import Any, Dict

from torch import Tensor

from ..runs.vit_names import to_timm

# Width, depth, attention heads and hidden width of the standard sizes.
SIZES = {
    (192, 12, 3, 768): 'tiny',
    (384, 12, 6, 1536): 'small',
    (768, 12, 12, 3072): 'base',
    (1024, 24, 16, 4096): 'large',
}


def timm_state(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The same weights under timm's names.

    Args:
        state (dict[str, Tensor]): Weights of an MMPretrain ``VisionTransformer`` or
            ``DistilledVisionTransformer`` with its head.

    Returns:
        dict[str, Tensor]: Weights of timm's ``VisionTransformer`` or
        ``VisionTransformerDistilled``.

    Raises:
        ValueError: For a weight that timm's model does not have.
    """
    renamed, unknown = to_timm(state)
    if unknown:
        raise ValueError(
            f'--to timm: timm\'s ViT has no place for "{unknown[0]}" of this student. '
            'Export it --to mmpretrain or safetensors.'
        )
    return renamed


def timm_call(model: Any) -> str:
    """The call that makes the timm model for these weights, as source text.

    Args:
        model (nn.Module): The student, an MMPretrain classifier.

    Returns:
        str: ``timm.create_model(…)`` for a standard size, otherwise timm's class with the
        student's measures.

    Raises:
        ValueError: If timm's model would compute something else than the student.
    """
    backbone = model.backbone
    if type(backbone).__name__ not in ('VisionTransformer', 'DistilledVisionTransformer'):
        raise ValueError(
            f'--to timm: {type(backbone).__name__} has other weights there. Export the student '
            '--to mmpretrain or safetensors.'
        )
    if backbone.out_type != 'cls_token' or not backbone.final_norm:
        raise ValueError(
            f'--to timm: the backbone has out_type="{backbone.out_type}" and final_norm='
            f"{backbone.final_norm}, but timm's ViT classifies its normalised class token. Export "
            'the student --to mmpretrain or safetensors.'
        )
    layer, distilled = backbone.layers[0], backbone.num_extra_tokens == 2
    measures = (
        backbone.embed_dims,
        backbone.num_layers,
        layer.attn.num_heads,
        layer.ffn.feedforward_channels,
    )
    patch, size = backbone.patch_embed.projection.kernel_size, tuple(backbone.img_size)
    options = [f'num_classes={model.head.num_classes}']
    if size != (224, 224):
        options.append(f'img_size={size}')
    if layer.attn.qkv.bias is None:
        options.append('qkv_bias=False')
    if backbone.ln1.eps != 1e-6:
        options.append(f'norm_layer=functools.partial(torch.nn.LayerNorm, eps={backbone.ln1.eps})')
    name = SIZES.get(measures)
    if name and patch == (16, 16) and not (distilled and name == 'large'):
        name = f'deit_{name}_distilled' if distilled else f'vit_{name}'
        return f"timm.create_model('{name}_patch16_224', {', '.join(options)})"
    width, depth, heads, hidden = measures
    options += [
        f'patch_size={patch}',
        f'embed_dim={width}',
        f'depth={depth}',
        f'num_heads={heads}',
        f'mlp_ratio={hidden / width:g}',
    ]
    kind = 'deit.VisionTransformerDistilled' if distilled else 'VisionTransformer'
    return f'timm.models.{kind}({", ".join(options)})'
