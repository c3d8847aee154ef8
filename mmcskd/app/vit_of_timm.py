"""timm's ViTs as models of MMPretrain, whose tokens the student's heads read."""

from typing import Any, Dict

from torch import nn


def vit_of_timm(model: Any, name: str, classes: int) -> Dict[str, Any]:
    """The config with which MMPretrain builds a ViT of timm.

    Args:
        model (nn.Module): As timm builds it.
        name (str): Its name, for messages.
        classes (int): Number of classes.

    Returns:
        dict: Of an ``ImageClassifier``; timm's weights load into it.

    Raises:
        ValueError: If it is no ViT, or MMPretrain's would compute something else.
    """
    from timm.models.vision_transformer import VisionTransformer

    given = f'--student "timm:{name}"'
    if not isinstance(model, VisionTransformer):
        raise ValueError(
            f'{given} is a {type(model).__name__}: of timm, ViTs and DeiTs are students; take it '
            'from MMPretrain, if "mmcskd models" has it there.'
        )
    distilled = hasattr(model, 'dist_token')
    block: Any = model.blocks[0]
    lacking = [
        what
        for what, there in {
            'register tokens': getattr(model, 'reg_token', None) is not None,
            'no class token': model.cls_token is None,
            'position embeddings of patches alone': getattr(model, 'no_embed_class', False),
            'a norm before its layers': not isinstance(model.norm_pre, nn.Identity),
            'another pooling than the class token': model.global_pool != 'token',
            'scaled layers': hasattr(block, 'ls1') and not isinstance(block.ls1, nn.Identity),
            'norms of queries and keys': not isinstance(block.attn.q_norm, nn.Identity),
            'another layer than its standard one': type(block).__name__ != 'Block',
            'another activation than GELU': not isinstance(block.mlp.act, nn.GELU),
            'images that are not square': len(set(model.patch_embed.img_size)) > 1,
        }.items()
        if there
    ]
    if lacking:
        raise ValueError(f"{given} has {lacking[0]}, which MMPretrain's ViT has not: take another.")
    backbone = dict(
        type='DistilledVisionTransformer' if distilled else 'VisionTransformer',
        arch=dict(
            embed_dims=model.embed_dim,
            num_layers=len(model.blocks),
            num_heads=block.attn.num_heads,
            feedforward_channels=block.mlp.fc1.out_features,
        ),
        img_size=model.patch_embed.img_size[0],
        patch_size=model.patch_embed.patch_size[0],
        norm_cfg=dict(type='LN', eps=model.norm.eps),
    )
    if block.attn.qkv.bias is None:
        backbone['qkv_bias'] = False
    head = 'DeiTClsHead' if distilled else 'VisionTransformerClsHead'
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        head=dict(type=head, num_classes=classes, in_channels=model.embed_dim),
    )
