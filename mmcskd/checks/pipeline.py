"""What a pipeline of a config says of its images, and what its transforms can do with them."""

import difflib
import inspect
import math
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Tuple, Union

from mmcv.image.geometric import cv2_interp_codes
from mmcv.image.io import imread_flags, supported_backends
from mmpretrain.datasets.transforms import auto_augment

from .part import check_keys, check_value, type_name
from .suggest import nearest
from .typed import fits

CHOICES = dict(
    interpolation=tuple(cv2_interp_codes),
    backend=('cv2', 'pillow'),
    color_type=tuple(imread_flags),
    imdecode_backend=(None, *supported_backends),
)
TRANSFORMS_OF = ('mmcv.', 'mmpretrain.', 'mmdet.', 'mmseg.')
PROBABILITIES = ('prob', 'cat_max_ratio')
SIDES = ('crop_size', 'scale', 'size')
TYPES = {
    **dict.fromkeys(
        SIDES, Optional[Union[float, Sequence[Optional[Union[float, Sequence[float]]]]]]
    ),
    **dict.fromkeys(PROBABILITIES, Optional[Union[float, Sequence[float]]]),
    **dict.fromkeys(('keep_ratio', 'with_bbox', 'with_label', 'with_mask', 'with_seg'), bool),
}
# What policies take of their hyperparameters; the rest is ignored.
AUGMENTING = {
    name
    for each in vars(auto_augment).values()
    if inspect.isclass(each) and issubclass(each, auto_augment.BaseAugTransform)
    for name in inspect.signature(each).parameters
}
# When the first image comes, which at random may be late.
COLORS = ('pad_val', 'fill_color', 'fill_std')
COLOR = Optional[Union[float, Sequence[float], Dict[str, Union[float, Sequence[float]]]]]
# Transforms of images of three channels alone, and of any.
THREE = ('AutoAugment', 'RandAugment', 'RandomErasing')
ANY = ('Cutout', 'RandomCrop', 'Rotate', 'Shear', 'Translate')

# What MMDetection's and MMSegmentation's packers hand on: what predictions need, and the usual.
NEEDED = ('ori_shape', 'img_shape')
USUAL = (*NEEDED, 'img_id', 'img_path', 'scale_factor', 'flip', 'flip_direction')


def pipeline_size(pipeline: Iterable[Any]) -> Optional[Tuple[int, int]]:
    """The size of the images that a test pipeline of a config gives.

    A resize by one edge leaves the other open; a crop behind it sets both.

    Args:
        pipeline (Iterable[dict]): The transforms.

    Returns:
        tuple[int, int] | None: Height and width; None if no transform sets both.
    """
    size: Any = None
    for step in pipeline:
        kind = type_name(step)
        if kind == 'Resize' or kind.endswith('Crop'):
            size = step.get('scale' if kind == 'Resize' else 'crop_size', size)
            # These take the width first, those of MMPretrain the height.
            if isinstance(size, (list, tuple)) and kind in ('Resize', 'CenterCrop'):
                size = size[::-1]
    if size is None:
        return None
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def check_transform(part: Any, kind: Callable, key: str) -> None:
    """A transform of OpenMMLab, and those within it, can do what they are asked for."""
    # What these name has other values.
    others = str(part['type']).startswith('torchvision/') or kind.__name__.startswith('Albu')
    if kind.__module__.startswith(TRANSFORMS_OF) and not others:
        if kind.__name__ == 'RandomResize' and fits(part.get('scale'), Tuple[float, float]):
            if not isinstance(part['scale'], tuple):
                raise ValueError(f'{key}.scale is {part["scale"]!r}, expected a tuple.')
            if part.get('ratio_range') is None:
                raise ValueError(f'{key} lacks "ratio_range", by which it changes its scale.')
        if kind.__name__ in ('PackDetInputs', 'PackSegInputs') and 'meta_keys' in part:
            _check_meta(part['meta_keys'], f'{key}.meta_keys')
        _check_entries(part, kind.__name__, key)


def _check_meta(keys: Any, key: str) -> None:
    check_value(keys, Sequence[str], key)
    for name in keys:
        near = difflib.get_close_matches(name, USUAL, n=1, cutoff=0.8)
        if near and name not in USUAL:
            raise ValueError(f'{key} has "{name}", which images have not. Nearest: "{near[0]}".')
    for name in NEEDED:
        if name not in keys:
            raise ValueError(f'{key} lacks "{name}", without which nothing can be predicted.')


def _check_entries(part: Any, kind: str, key: str) -> None:
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        place = f'{key}.{name}'
        if name in CHOICES and value not in CHOICES[name]:
            near = nearest(str(value), CHOICES[name])
            raise ValueError(f'{place} is {value!r}. {near}')
        if name in COLORS:
            check_value(value, COLOR, place)
            if kind in (*THREE, *ANY):
                _check_color(value, kind, place)
            if kind == 'Pad' and isinstance(value, dict):
                check_keys(value, ('img', 'seg'), place)
            for each in value.values() if isinstance(value, dict) else [value]:
                if kind == 'Pad' and isinstance(each, list):
                    raise ValueError(f'{place} has {each!r}, expected a number or a tuple.')
        if name == 'hparams':
            check_keys(value, AUGMENTING, place)
        if name in TYPES:
            check_value(value, TYPES[name], place)
        if name in SIDES and not _positive(value):
            raise ValueError(f'{place} is {value!r}, expected numbers > 0.')
        if name in PROBABILITIES and not _within(value):
            raise ValueError(f'{place} is {value!r}, expected numbers of 0 to 1.')
        if name == 'padding' and not _fits_padding(value):
            raise ValueError(
                f'{place} is {value!r}, expected pixels >= 0 of all sides, or a tuple of 2 (width, '
                'height) or 4 (left, top, right, bottom).'
            )
        elif name in ('direction', 'policies') and not value:
            raise ValueError(f'{place} is {value!r}, expected at least one to choose from.')
        elif isinstance(value, (dict, list)):
            inner = type_name(value) if isinstance(value, dict) and 'type' in value else kind
            _check_entries(value, inner, place)


def _within(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_within, value))
    return value is None or 0 <= value <= 1


def _positive(value: Any) -> bool:
    """A list may have infinity for a side that is free."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_positive(each) or each == math.inf for each in value)
    return value is None or 0 < value < math.inf


def _check_color(value: Any, kind: str, key: str) -> None:
    """Each channel has its number of 8 bits; a deviation may be larger or None."""
    deviation = key.endswith('.fill_std')
    if deviation and value is None:
        return
    most = math.inf if deviation else 255
    # MMCV shears and translates over whole numbers, or a number of each channel.
    whole = kind in ('AutoAugment', 'RandAugment', 'Shear', 'Translate')
    counts = (3,) if kind in THREE else (1, 3, 4)
    if isinstance(value, (list, tuple)):
        # Of a list RandomCrop would say that it is no tuple.
        fine = len(value) in counts and (kind != 'RandomCrop' or isinstance(value, tuple))
        numbers = value
    else:
        fine, numbers = fits(value, int if whole else float), [value]
    if not fine or not all(0 <= each <= most for each in numbers):
        wanted = 'a number >= 0' if deviation else f'a {"whole " * whole}number of 0 to 255'
        raise ValueError(
            f'{key} is {value!r}, expected {wanted}, or a tuple of one for each channel of the '
            'images.'
        )


def _fits_padding(value: Any) -> bool:
    sides = value if isinstance(value, tuple) else (value,) * 4
    return value is None or len(sides) in (2, 4) and all(fits(s, int) and s >= 0 for s in sides)
