"""Numbers that allocate memory or start processes have a largest plausible value."""

import math
from typing import Any, Dict

# Of images and canvases in pixels.
SIDES = (
    'size', 'img_size', 'scale', 'crop_size', 'edge', 'canvas', 'sides', 'digit', 'fragment',
    'pad_size_divisor',
)  # fmt: skip
MOST: Dict[str, int] = {
    **dict.fromkeys(SIDES, 8192),
    **dict.fromkeys(('grid', 'window_size', 'digits', 'fragments', 'num_outs'), 1024),
    **dict.fromkeys(('num_workers', 'prefetch_factor', 'num_repeats'), 1024),
    **dict.fromkeys(('in_channels', 'out_channels', 'embed_dims'), 10**6),
    **dict.fromkeys(('num_classes', 'length', 'training', 'validation'), 10**7),
}


def check_most(name: str, value: Any, key: str) -> None:
    """Check that a number, or those of a list, are no larger than is plausible.

    Args:
        name (str): Name of the argument.
        value (Any): Its value, of any type.
        key (str): Its config key, for the message.

    Raises:
        ValueError: If one is larger.
    """
    most = MOST.get(name, math.inf)
    for each in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(each, (int, float)) and each > most:
            raise ValueError(f'{key} is {value!r}, expected at most {most}.')
