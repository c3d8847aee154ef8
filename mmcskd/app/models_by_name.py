"""Models by name: their config for one's own classes, their weights and the images they take."""

from typing import NamedTuple, Optional, Tuple

# Of pictures for which nobody has said anything else.
PLAIN_MEAN = PLAIN_STD = (127.5, 127.5, 127.5)


class NamedModel(NamedTuple):
    """A model that a name stands for."""

    name: str
    config: dict
    """Of a classifier of MMPretrain, for the classes of the data, without its loss."""
    size: int
    """Side of its images in pixels."""
    mean: Tuple[float, ...] = PLAIN_MEAN
    std: Tuple[float, ...] = PLAIN_STD
    weights: Optional[str] = None
    """File or URL to start from; None from scratch."""
    classes: Optional[Tuple[str, ...]] = None
    """What the weights answer, in this order, if that is known."""


def small_cnn(classes: int, size: int) -> NamedModel:
    """Half of a narrow ResNet-18 for CIFAR, as in docs/evidence.md; a grid of size/4 or size/8.

    Args:
        classes (int): Number of classes.
        size (int): Side of the images in pixels.
    """
    stages = 2 if size <= 40 else 3
    width = 16 if size <= 20 else 32
    config = dict(
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
    return NamedModel('small-cnn', config, size)


def small_vit(classes: int, size: int) -> NamedModel:
    """A ViT of three layers with a distillation token, as in docs/evidence.md.

    Args:
        classes (int): Number of classes.
        size (int): Side of the images in pixels.
    """
    width = 64 if size <= 20 else 96 if size <= 40 else 128
    config = dict(
        type='mmpretrain.CSKDClassifier',
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
    return NamedModel('small-vit', config, size)


SMALL_TEACHERS = {'small-cnn': small_cnn}
SMALL_STUDENTS = {'small-vit': small_vit}


def small_size(side: int) -> int:
    """The multiple of 4, or of 8 above 40, that is nearest to a side in pixels."""
    step = 4 if side <= 42 else 8
    return max(8, round(side / step) * step)
