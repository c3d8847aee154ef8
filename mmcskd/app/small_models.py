"""A CNN and a ViT for small pictures, trained from scratch in minutes."""

from typing import Dict, Sequence


def small_cnn(classes: int, size: int) -> Dict:
    """Half of a narrow ResNet-18 for CIFAR, as in docs/evidence.md; a grid of size/4 or size/8.

    Args:
        classes (int): Number of classes.
        size (int): Side of the images in pixels.
    """
    stages = 2 if size <= 40 else 3
    width = 16 if size <= 20 else 32
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR',
            depth=18,
            stem_channels=width,
            base_channels=width,
            num_stages=stages,
            strides=(2,) * stages,
            dilations=(1,) * stages,
            out_indices=(stages - 1,),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=width * 2 ** (stages - 1)),
    )


def small_vit(classes: int, size: int) -> Dict:
    """A ViT of three layers with a distillation token, as in docs/evidence.md.

    Args:
        classes (int): Number of classes.
        size (int): Side of the images in pixels.
    """
    width = 64 if size <= 20 else 96 if size <= 40 else 128
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(
                embed_dims=width,
                num_layers=3,
                num_heads=width // 32,
                feedforward_channels=2 * width,
            ),
            img_size=size,
            patch_size=4 if size <= 40 else size // 8,
        ),
        head=dict(type='DeiTClsHead', num_classes=classes, in_channels=width),
    )


SMALL = {'small-cnn': small_cnn, 'small-vit': small_vit}


def small_size(median: Sequence[int]) -> int:
    """The side that small models take: a multiple of 4, or of 8 above 40, at most 64.

    Args:
        median (tuple[int, int]): Median width and height of the pictures.
    """
    side = min(*median, 64)
    step = 4 if side <= 42 else 8
    return max(8, round(side / step) * step)
