"""Small models that the tests share."""

import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

NUM_CLASSES = 7
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def student_config(dist_token=True, **head):
    """A tiny DeiT or ViT on 32 × 32 images: 8 × 8 patches."""
    kind = 'Distilled' if dist_token else ''
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type=f'{kind}VisionTransformer', arch=ARCH, img_size=32, patch_size=4, out_type='raw'
        ),
        head=dict(
            type='CSKDDeiTHead' if dist_token else 'CSKDViTHead',
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
    """What configs/_base_/cskd_distiller.py says."""
    mappings = dict(
        loss_deit=dict(
            student_logits=dict(recorder='tokens', from_student=True, connector='dist'),
            teacher_logits=dict(recorder='response', from_student=False, data_idx=1),
        ),
        loss_cskd=dict(
            student_response=dict(recorder='tokens', from_student=True, connector='patch'),
            spatial_response=dict(recorder='response', from_student=False, data_idx=0),
            global_response=dict(recorder='response', from_student=False, data_idx=1),
        ),
    )
    losses = dict(loss_deit=dict(type='DeiTLoss'), loss_cskd=dict(type='CSKDLoss', **loss))
    if not deit:
        del mappings['loss_deit'], losses['loss_deit']
    return dict(
        type='ConfigurableDistiller',
        teacher_recorders=dict(response=dict(type='SpatialResponse')),
        student_recorders=dict(tokens=dict(type='PatchToken')),
        connectors=dict(
            dist=dict(type='DistTokenConnector'), patch=dict(type='PatchTokenConnector')
        ),
        distill_losses=losses,
        loss_forward_mappings=mappings,
    )


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
