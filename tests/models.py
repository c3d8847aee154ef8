"""Small models that the tests share."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
NUM_CLASSES = 7
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def student_config(dist_token=True, vote=None, **head):
    """A tiny DeiT or ViT on 32 × 32 images: 8 × 8 patches."""
    kind = 'Distilled' if dist_token else ''
    return dict(
        _scope_='mmpretrain',
        type='CSKDClassifier',
        vote=vote,
        backbone=dict(type=f'{kind}VisionTransformer', arch=ARCH, img_size=32, patch_size=4),
        head=dict(
            type='DeiTClsHead' if dist_token else 'VisionTransformerClsHead',
            num_classes=NUM_CLASSES,
            in_channels=24,
            init_cfg=dict(type='Normal', layer='Linear', std=0.2),
            loss=dict(type='CrossEntropyLoss', loss_weight=0.5),
            **head,
        ),
    )


def teacher_config(num_classes=NUM_CLASSES, **parts):
    """A tiny ResNet on 32 × 32 images: a 4 × 4 grid."""
    config = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=64),
    )
    config.update(parts)
    return config


def distiller_config(deit=True, **loss):
    """The shipped one, with other arguments of the CSKD loss."""
    shipped = Config.fromfile(CONFIGS / '_base_' / 'distillers.py')
    distiller = (shipped.cskd_distiller if deit else shipped.patch_distiller).to_dict()
    distiller['distill_losses']['loss_cskd'].update(loss)
    return distiller


def algorithm_config(**parts):
    """The tiny ResNet teaches the tiny DeiT."""
    config = dict(
        _scope_='mmrazor',
        type='FrozenTeacherDistill',
        architecture=student_config(),
        teacher=teacher_config(),
        random_teacher=True,
        distiller=distiller_config(),
    )
    config.update(parts)
    return config


def build(config):
    """A model with all its weights drawn."""
    model = MODELS.build(config)
    model.init_weights()
    return model


def batch(n=3, height=32, width=32):
    """Preprocessed images and labels."""
    samples = [DataSample().set_gt_label(i % NUM_CLASSES) for i in range(n)]
    return torch.randn(n, 3, height, width), samples


def tokens_of(model, images):
    """All tokens (N, L, D) of a ViT after its final norm."""
    seen = []
    handle = model.backbone.ln1.register_forward_hook(lambda module, inputs, out: seen.append(out))
    model.backbone(images)
    handle.remove()
    return seen[0]


def respond_slowly(tokens, extra, grid, head, size):
    """Head on every patch token, then the mean over the patches of each cell."""
    n, _, _ = tokens.shape
    logits = head(tokens[:, extra:]).reshape(n, *grid, -1)
    rows = [(i * grid[0] // size[0], -(-(i + 1) * grid[0] // size[0])) for i in range(size[0])]
    columns = [(j * grid[1] // size[1], -(-(j + 1) * grid[1] // size[1])) for j in range(size[1])]
    return torch.stack(
        [
            torch.stack([logits[:, a:b, c:d].mean((1, 2)) for c, d in columns], dim=-1)
            for a, b in rows
        ],
        dim=-2,
    )
