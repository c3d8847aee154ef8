"""Epochs, learning rate, augmentation and the like, by number of images and where one starts."""

from typing import NamedTuple, Optional


class Recipe(NamedTuple):
    """How a model is trained."""

    epochs: int
    batch_size: int
    lr: float
    """Of AdamW, for a total batch of ``batch_size``."""
    warmup: float
    """Share of the epochs in which the learning rate rises; a cosine follows."""
    clip: float
    """Largest norm of the gradients."""
    mix: float
    """Share of the batches that are cut and mixed."""
    head_first: float
    """Share of the epochs in which the new classifier alone learns."""
    drop_path: float
    """Stochastic depth of a ViT."""
    views: int
    """Images that are seen in all, from which the epochs follow."""


def _row(batch, lr, *, views, mix=0.0, drop=0.0, head=0.0, warmup=1 / 12) -> Recipe:
    return Recipe(0, batch, lr, warmup, 1.0, mix, head, drop, views)


# (role, starts from, small pictures) → recipe, fewest and most epochs that its `views` may give.
#
# Small students: the setting "long" of docs/evidence.md, 24 epochs of 8,000 pictures in batches of
# 64, CutMix on half of them, a twelfth of warm-up, gradients clipped at 1. There CSKD (soft) was
# best at 2e-3 to 4e-3, no distillation at 1e-3 (its table "tried").
# Small teachers: docs/evidence.md, four epochs of 8,000 at 4e-3 for a narrow ResNet-18; twice as
# many here, as one's own pictures are shifted.
# Other students from scratch: DeiT's AdamW, 5e-4 at a batch of 512, and its stochastic depth of 0.1
# (Touvron et al. 2021, table 9); the rate goes by the square root of the batch (Malladi et al.
# 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms").
# Students with weights: DeiT's code fine-tunes at 5e-6, for the classes that are there already;
# new classes are between that and a start from scratch: 5e-5, their geometric mean.
# Teachers with weights: the classifier alone in the first quarter, which keeps the features (Kumar
# et al. 2022, "Fine-Tuning can Distort Pretrained Features"). Five plain epochs of 1,700 pictures
# (those of docs/fashion_mnist.md, at 64 pixels) brought EfficientNet-Lite0 to 58 % at 1e-4 and to
# 88 % at 1e-3; the rate is half of that for the sake of larger teachers, which were not measured.
# From scratch it is AdamW's default. Wherever weights are given, a new classifier has ten times the
# rate (configs_of_run.py).
ROWS = {
    ('student', 'scratch', True): (_row(64, 2e-3, mix=0.5, views=192_000), 24, 150),
    ('student', 'scratch', False): (_row(64, 2e-4, mix=0.5, drop=0.1, views=600_000), 30, 300),
    ('student', 'weights', True): (_row(64, 2e-4, mix=0.5, views=96_000), 12, 80),
    ('student', 'weights', False): (_row(64, 5e-5, mix=0.5, drop=0.1, views=150_000), 15, 60),
    ('teacher', 'scratch', True): (_row(64, 4e-3, warmup=1 / 6, views=64_000), 8, 60),
    ('teacher', 'scratch', False): (_row(64, 1e-3, views=300_000), 30, 150),
    ('teacher', 'weights', True): (_row(32, 5e-4, head=0.25, views=40_000), 6, 30),
    ('teacher', 'weights', False): (_row(32, 5e-4, head=0.25, views=40_000), 6, 30),
}
# Of a student without a teacher, by the table "tried" of docs/evidence.md.
ALONE = 0.5
SMALL_SIDE = 64  # pixels of the short side, up to which pictures are small


def choose(
    role: str,
    images: int,
    small: bool,
    pretrained: bool,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
) -> Recipe:
    """The recipe of a run.

    Args:
        role (str): ``'teacher'``, ``'student'``, or ``'baseline'``: the student without a teacher.
        images (int): Number of training images.
        small (bool): Whether the pictures or the model are small.
        pretrained (bool): Whether it starts from weights.
        epochs (int, optional): As given by the user. Defaults to None: by the table.
        batch_size (int, optional): As given; the learning rate goes by its
            square root. Defaults to None.
        lr (float, optional): As given. Defaults to None.

    Returns:
        Recipe: With every number set.
    """
    kind = 'teacher' if role == 'teacher' else 'student'
    row, fewest, most = ROWS[kind, 'weights' if pretrained else 'scratch', small]
    batch = batch_size or _fitting(row.batch_size, images)
    rate = row.lr * (batch / row.batch_size) ** 0.5
    if role == 'baseline' and not pretrained:
        rate *= ALONE
    return row._replace(
        epochs=epochs or min(max(round(row.views / images), fewest), most),
        batch_size=batch,
        lr=lr or float(f'{rate:.3g}'),
    )


def _fitting(batch: int, images: int) -> int:
    """At most a tenth of the images, so that an epoch has steps: a power of two, at least 4."""
    while batch > 4 and batch * 10 > images:
        batch //= 2
    return batch
