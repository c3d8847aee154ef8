"""What a pipeline of a config says of its images."""

from typing import Any, Iterable, Optional, Tuple

from .part import type_name


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
