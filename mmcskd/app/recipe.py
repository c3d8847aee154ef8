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
    views: int
    """Images that are seen in all, from which the epochs follow."""


# A row a case: (role, weights to start from, small pictures) -> the recipe of it, with the fewest
# and the most epochs that `views` may give.
#
# Small students: the setting "long" of docs/evidence.md, 24 epochs of 8,000 pictures in batches of
# 64, CutMix on half of them, a twelfth of warm-up and clipping at 1. There CSKD (soft) was best at
# 2e-3 to 4e-3, no distillation at 1e-3 (its table "tried").
# Small teachers: docs/evidence.md, four epochs of 8,000 at 4e-3 for a narrow ResNet-18; twice as
# many here, as pictures of one's own are shifted.
# Students with published weights: AdamW at 5e-4 · batch / 512 is DeiT's rate from scratch (Touvron
# et al. 2021, table 9); a fifth of it for weights that are there already, as BEiT and timm's
# fine-tuning recipes have theirs below those of pretraining.
# Students from scratch: DeiT's rate, and gradients clipped at 1 as in "How to train your ViT?"
# (Steiner et al. 2022, section 3).
# Teachers with published weights: the classifier alone first, which keeps the features (Kumar et
# al. 2022, "Fine-Tuning can Distort Pretrained Features"), then all at a rate of 1e-4 · batch / 32.
ROWS = {
    ('student', 'scratch', True): (Recipe(0, 64, 2e-3, 1 / 12, 1.0, 0.5, 0.0, 192_000), 24, 150),
    ('student', 'scratch', False): (Recipe(0, 64, 5e-4, 1 / 12, 1.0, 0.5, 0.0, 600_000), 30, 300),
    ('student', 'weights', True): (Recipe(0, 64, 5e-4, 1 / 12, 1.0, 0.5, 0.0, 96_000), 12, 80),
    ('student', 'weights', False): (Recipe(0, 64, 1e-4, 1 / 12, 1.0, 0.5, 0.0, 150_000), 15, 60),
    ('teacher', 'scratch', True): (Recipe(0, 64, 4e-3, 1 / 6, 1.0, 0.0, 0.0, 64_000), 8, 60),
    ('teacher', 'scratch', False): (Recipe(0, 64, 1e-3, 1 / 12, 1.0, 0.0, 0.0, 300_000), 30, 150),
    ('teacher', 'weights', True): (Recipe(0, 32, 2e-4, 1 / 12, 1.0, 0.0, 0.25, 40_000), 6, 30),
    ('teacher', 'weights', False): (Recipe(0, 32, 1e-4, 1 / 12, 1.0, 0.0, 0.25, 40_000), 6, 30),
}
# Of a student without a teacher, by the table "tried" of docs/evidence.md.
ALONE = 0.5
SMALL = 64  # pixels of the short side, up to which pictures are small


def choose(
    role: str,
    images: int,
    size: int,
    pretrained: bool,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
) -> Recipe:
    """The recipe of a run.

    Args:
        role (str): ``'teacher'``, ``'student'``, or ``'baseline'``: the student without a teacher.
        images (int): Number of training images.
        size (int): Side of the images in pixels.
        pretrained (bool): Whether it starts from weights.
        epochs (int, optional): As given by the user. Defaults to None: by the table.
        batch_size (int, optional): As given; the learning rate follows linearly. Defaults to None.
        lr (float, optional): As given. Defaults to None.

    Returns:
        Recipe: With every number set.
    """
    kind = 'teacher' if role == 'teacher' else 'student'
    row, fewest, most = ROWS[kind, 'weights' if pretrained else 'scratch', size <= SMALL]
    batch = batch_size or _fitting(row.batch_size, images)
    rate = row.lr * batch / row.batch_size
    if role == 'baseline' and not pretrained:
        rate *= ALONE
    return row._replace(
        epochs=epochs or min(max(round(row.views / images), fewest), most),
        batch_size=batch,
        lr=lr or rate,
    )


def _fitting(batch: int, images: int) -> int:
    """At most a tenth of the images, so that an epoch has steps: a power of two, at least 4."""
    while batch > 4 and batch * 10 > images:
        batch //= 2
    return batch
