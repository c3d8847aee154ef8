from typing import List, Optional, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..checks.typed import typed

SPLIT_SEED = 0
SHARE = 5  # every fifth image of each class belongs to the smaller split
SPLITS = ('train', 'test', 'validation', 'fit')  # the index of a split seeds its canvases


@DATASETS.register_module()
class ClutteredDigits(BaseDataset):
    """Real handwritten digits at random places among fragments of other digits.

    The digits are the 1,797 scanned images of 8 × 8 pixels that scikit-learn ships (UCI "Optical
    Recognition of Handwritten Digits"). Each canvas shows one whole digit, enlarged, at a random
    place, among square fragments of digits of other classes. The class is local information and its
    place varies.

    No image of one split appears in the other, whole or in fragments. After a fixed shuffle every
    fifth image of each class belongs to ``'test'``, the others to ``'train'``. For the choice of
    hyperparameters ``'train'`` is divided again in the same way into ``'validation'`` and
    ``'fit'``.

    A canvas depends on ``seed``, the split and its index alone.

    Args:
        split (str): ``'train'``, ``'test'``, ``'fit'`` or ``'validation'``.
        length (int): Number of canvases.
        canvas (int): Side of a canvas in pixels. Defaults to 40.
        digit (int): Side of the whole digit in pixels, a multiple of 8. Defaults to 24.
        fragments (int): Number of fragments on a canvas. Defaults to 4.
        fragment (int): Side of a fragment in pixels, cut from an enlarged digit. Defaults to
            12.
        seed (int): Seed of the canvases. Defaults to 0.
        pipeline (Sequence): As in every MMPretrain dataset; samples hold ``img`` (canvas, canvas,
            3) of uint8. Defaults to an empty tuple.
        **kwargs: Arguments of ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: For an unknown split or sizes that do not fit.
    """

    METAINFO = {'classes': [str(digit) for digit in range(10)]}

    @typed
    def __init__(
        self,
        split: str,
        length: int,
        canvas: int = 40,
        digit: int = 24,
        fragments: int = 4,
        fragment: int = 12,
        seed: int = 0,
        pipeline=(),
        **kwargs,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(
                f'ClutteredDigits.split is {split!r}, expected one of '
                + ', '.join(f'"{known}"' for known in SPLITS)
                + '.'
            )
        if not 0 < fragment <= digit <= canvas or digit % 8:
            raise ValueError(
                f'ClutteredDigits: fragment={fragment}, digit={digit}, canvas={canvas}, expected '
                '0 < fragment <= digit <= canvas and digit a multiple of 8.'
            )
        if length < 1 or fragments < 0 or seed < 0:
            raise ValueError(
                f'ClutteredDigits: length={length}, fragments={fragments}, seed={seed}, expected '
                'length >= 1, fragments >= 0 and seed >= 0.'
            )
        self.split = split
        self.length = length
        self.canvas = canvas
        self.digit = digit
        self.num_fragments = fragments
        self.fragment = fragment
        self.seed = seed
        held_out = split in ('test', 'validation')
        super().__init__(ann_file='', pipeline=pipeline, test_mode=held_out, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Draw the canvases."""
        images, labels = digits_of_split(self.split)
        images = np.kron(images, np.ones((1, self.digit // 8, self.digit // 8), np.uint8))
        data_list = []
        for index in range(self.length):
            rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
            chosen = int(rng.integers(len(images)))
            img = self._draw(rng, images, labels, chosen)
            data_list.append(dict(img=img, gt_label=int(labels[chosen])))
        return data_list

    def _draw(self, rng, images: np.ndarray, labels: np.ndarray, chosen: int) -> np.ndarray:
        canvas = np.zeros((self.canvas, self.canvas), np.uint8)
        others = np.flatnonzero(labels != labels[chosen])
        for _ in range(self.num_fragments):
            other = images[rng.choice(others)]
            top, left = rng.integers(self.digit - self.fragment + 1, size=2)
            piece = other[top : top + self.fragment, left : left + self.fragment]
            self._paste(rng, canvas, piece)
        # Last, so that no fragment covers it.
        self._paste(rng, canvas, images[chosen])
        return np.repeat(canvas[..., None], 3, axis=2)

    @staticmethod
    def _paste(rng, canvas: np.ndarray, piece: np.ndarray) -> None:
        side = piece.shape[0]
        top, left = rng.integers(canvas.shape[0] - side + 1, size=2)
        canvas[top : top + side, left : left + side] = piece


def digits_of_split(split: str, num_images: Optional[int] = None) -> Tuple[np.ndarray, np.ndarray]:
    """The real digits of one split.

    Args:
        split (str): As in :class:`ClutteredDigits`.
        num_images (int, optional): How many to keep, from the first on. Defaults to None: all.

    Returns:
        tuple[np.ndarray, np.ndarray]: Images (n, 8, 8) of uint8 in 0 … 255 and labels (n,).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    of_split = []
    for label in range(10):
        members = np.flatnonzero(digits.target == label)
        members = np.random.default_rng(SPLIT_SEED + label).permutation(members)
        test, train = _every_fifth(members)
        validation, fit = _every_fifth(train)
        of_split.append(dict(train=train, test=test, validation=validation, fit=fit)[split])
    chosen = np.sort(np.concatenate(of_split))[:num_images]
    return images[chosen], digits.target[chosen]


def _every_fifth(members: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    aside = np.arange(len(members)) % SHARE == 0
    return members[aside], members[~aside]
