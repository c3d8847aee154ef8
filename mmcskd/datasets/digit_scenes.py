import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from mmrazor.registry import TASK_UTILS

from ..checks.typed import typed
from .cluttered_digits import digits_of_split

SPLITS = dict(training='train', validation='test')
NAMES = [str(digit) for digit in range(10)]
IGNORED = 0  # as in ADE20K's label maps: `reduce_zero_label` turns it into 255
BACKGROUND = 1


class Region(NamedTuple):
    """A digit, or a fragment of one, on a canvas."""

    label: int
    """0 … 9."""
    mask: np.ndarray
    """(canvas, canvas) of bool: the pixels with ink."""


class Scene(NamedTuple):
    """One canvas."""

    image: np.ndarray
    """(canvas, canvas) of uint8."""
    digits: List[Region]
    """Whole digits; no two overlap."""
    fragments: List[Region]
    """Pieces of digits, labelled neither as a digit nor as background."""


@TASK_UTILS.register_module()
class DigitScenes:
    """Several real handwritten digits on a canvas, as a detection and a segmentation data set.

    The digits are those of :class:`~mmcskd.ClutteredDigits`: 1,797 scans of 8 × 8 pixels that
    scikit-learn ships, with different scans in each split. Digits of several sizes and square
    fragments of other digits lie at random places. Nothing overlaps, so masks and boxes are exact:
    a mask holds the pixels with ink, a box is the smallest around them.

    :meth:`write` makes a folder with

    - ``images/training`` and ``images/validation``: PNG files;
    - ``annotations/training`` and ``annotations/validation``: label maps in ADE20K's form, 0
      ignored (fragments), 1 background, 2 … 11 the digits;
    - ``instances_training.json`` and ``instances_validation.json``: instances in COCO's form with
      run-length encoded masks; fragments are crowds, which COCO ignores.

    Args:
        out (str): The folder.
        training (int): Number of canvases. Defaults to 1600.
        validation (int): Number of canvases. Defaults to 300.
        canvas (int): Side of a canvas in pixels. Defaults to 80.
        sides (Sequence[int]): Sides of digits in pixels, multiples of 8. Defaults to
            ``(16, 24, 32)``.
        digits (tuple[int, int]): Least and most digits on a canvas. Defaults to ``(1, 4)``.
        fragments (int): Fragments on a canvas, of half a digit's side. Defaults to 2.
        seed (int): Seed of the canvases; each also depends on its split and index. Defaults to 0.

    Raises:
        ValueError: For numbers that do not fit.

    Examples:
        >>> scene = DigitScenes('data/digit_scenes').draw('training', 0)
        >>> scene.image.shape
        (80, 80)
    """

    @typed
    def __init__(
        self,
        out: str,
        training: int = 1600,
        validation: int = 300,
        canvas: int = 80,
        sides: Sequence[int] = (16, 24, 32),
        digits: Tuple[int, int] = (1, 4),
        fragments: int = 2,
        seed: int = 0,
    ) -> None:
        if not sides or any(side < 8 or side % 8 or side > canvas for side in sides):
            raise ValueError(
                f'DigitScenes: sides={sides}, canvas={canvas}, expected multiples of 8 that fit.'
            )
        if (
            len(digits) != 2
            or not 0 < digits[0] <= digits[1]
            or fragments < 0
            or min(training, validation) < 1
        ):
            raise ValueError(
                f'DigitScenes: digits={digits}, fragments={fragments}, training={training}, '
                f'validation={validation}, expected 0 < least <= most digits, fragments >= 0 and '
                'at least one canvas in each split.'
            )
        self.out = Path(out)
        self.lengths = dict(training=training, validation=validation)
        self.canvas = canvas
        self.sides = tuple(sides)
        self.digits = tuple(digits)
        self.fragments = fragments
        self.seed = seed
        self._scans: Dict[str, Tuple[np.ndarray, np.ndarray]] = {}

    def draw(self, split: str, index: int) -> Scene:
        """Draw one canvas, the same for the same arguments.

        Args:
            split (str): ``'training'`` or ``'validation'``.
            index (int): Which canvas.

        Returns:
            Scene: Image, digits and fragments.
        """
        if split not in self._scans:
            self._scans[split] = digits_of_split(SPLITS[split])
        images, labels = self._scans[split]
        rng = np.random.default_rng([self.seed, split == 'validation', index])
        image = np.zeros((self.canvas, self.canvas), np.uint8)
        taken = np.zeros_like(image, bool)
        found: Tuple[List[Region], List[Region]] = ([], [])
        whole = rng.integers(self.digits[0], self.digits[1] + 1)
        for place in range(whole + self.fragments):
            chosen = rng.integers(len(images))
            times = rng.choice(self.sides) // 8
            piece = np.kron(images[chosen], np.ones((times, times), np.uint8))
            if place >= whole:
                half = piece.shape[0] // 2
                top, left = rng.integers(half + 1, size=2)
                piece = piece[top : top + half, left : left + half]
            mask = self._place(rng, image, taken, piece)
            if mask is not None:
                found[int(place >= whole)].append(Region(int(labels[chosen]), mask))
        return Scene(image, *found)

    def _place(self, rng, image: np.ndarray, taken: np.ndarray, piece: np.ndarray):
        """Put a piece on free pixels; None if there is no room or the piece has no ink."""
        side = piece.shape[0]
        for _ in range(50):
            top, left = rng.integers(self.canvas - side + 1, size=2)
            spot = slice(top, top + side), slice(left, left + side)
            if piece.any() and not taken[spot].any():
                image[spot] = piece
                taken[spot] = True
                mask = np.zeros_like(taken)
                mask[spot] = piece > 0
                return mask
        return None

    def write(self) -> bool:
        """Write the folder, unless it holds the same scenes already.

        Returns:
            bool: Whether anything was written.
        """
        wanted = {k: v for k, v in vars(self).items() if k not in ('out', '_scans')}
        stamp = self.out / 'scenes.json'
        text = json.dumps(wanted, sort_keys=True)
        if stamp.is_file() and stamp.read_text() == text:
            return False
        for split, length in self.lengths.items():
            self._write_split(split, length)
        stamp.write_text(text)
        return True

    def _write_split(self, split: str, length: int) -> None:
        for kind in ('images', 'annotations'):
            folder = self.out / kind / split
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob('*.png'):
                old.unlink()
        images: List[dict] = []
        annotations: List[dict] = []
        for index in range(length):
            scene = self.draw(split, index)
            name = f'{index:05}.png'
            cv2.imwrite(str(self.out / 'images' / split / name), scene.image)
            cv2.imwrite(str(self.out / 'annotations' / split / name), label_map(scene))
            images.append(dict(id=index, file_name=name, width=self.canvas, height=self.canvas))
            for crowd, regions in enumerate((scene.digits, scene.fragments)):
                for region in regions:
                    annotations.append(
                        dict(
                            id=len(annotations) + 1,
                            image_id=index,
                            category_id=region.label + 1,
                            bbox=list(box_of(region.mask)),
                            area=int(region.mask.sum()),
                            segmentation=run_lengths(region.mask),
                            iscrowd=crowd,
                        )
                    )
        categories = [dict(id=label + 1, name=name) for label, name in enumerate(NAMES)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (self.out / f'instances_{split}.json').write_text(json.dumps(content))


def label_map(scene: Scene) -> np.ndarray:
    """A scene's pixels by class.

    Args:
        scene (Scene): A canvas.

    Returns:
        np.ndarray: (canvas, canvas) of uint8: 0 ignored, 1 background, 2 … 11 the digits.
    """
    labels = np.full_like(scene.image, BACKGROUND)
    for region in scene.fragments:
        labels[region.mask] = IGNORED
    for region in scene.digits:
        labels[region.mask] = BACKGROUND + 1 + region.label
    return labels


def box_of(mask: np.ndarray) -> Tuple[int, int, int, int]:
    """The smallest box around a mask.

    Args:
        mask (np.ndarray): (height, width) of bool, with at least one True.

    Returns:
        tuple[int, int, int, int]: Left, top, width and height in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def run_lengths(mask: np.ndarray) -> dict:
    """A mask in COCO's uncompressed run-length encoding.

    Args:
        mask (np.ndarray): (height, width) of bool.

    Returns:
        dict: ``size`` and ``counts``, the lengths of the runs of 0 and 1 by columns, 0 first.
    """
    flat = np.concatenate([[False], mask.flatten(order='F'), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [mask.size]])
    counts = np.diff(ends).tolist()
    # No empty run of 0 behind a mask that ends with 1.
    return dict(size=list(mask.shape), counts=counts[:-1] if counts[-1] == 0 else counts)
