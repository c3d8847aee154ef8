"""The grid of patches that position embeddings belong to.

It comes from a config, never from the number of patches: 36 are 6 × 6 or 4 × 9, and equal shapes
are no proof of equal grids.
"""

import re
from typing import Any, Mapping, Optional, Tuple

from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmpretrain.models.utils import to_2tuple

from .saved_config import SavedConfigError, read_saved_config

Grid = Optional[Tuple[int, int]]

# One of MMPretrain's configs, by a path within their folder.
STOCK_CONFIG = re.compile(r'mmpretrain::(\w[\w.-]*/)*\w[\w.-]*\.py')


def saved_grid(content: Any) -> Grid:
    """Height and width in patches of the student of a checkpoint, if it says both.

    Args:
        content (Any): Content of the file: its ``meta`` has a config or, as of an exported
            backbone, a ``grid``.
    """
    meta = content.get('meta') if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    grid = meta.get('grid')
    if isinstance(grid, list) and len(grid) == 2 and all(_whole(side) for side in grid):
        return grid[0], grid[1]
    text = meta.get('cfg')
    try:
        model = read_saved_config(text, ['model']).get('model') if isinstance(text, str) else {}
    except SavedConfigError:
        return None
    model = model or {}
    model = model.get('architecture') or model
    backbone, path = model.get('backbone') or {}, model.get('cfg_path')
    if isinstance(path, str) and STOCK_CONFIG.fullmatch(path):
        backbone = {**_stock_backbone(path), **backbone}
    size, patch = to_2tuple(backbone.get('img_size', 224)), backbone.get('patch_size', 16)
    if 'type' not in backbone or len(size) != 2 or not all(map(_whole, (*size, patch))):
        return None
    return size[0] // patch, size[1] // patch


def own_grid(model: Any) -> Grid:
    """Height and width in patches of the images that a model is built for, if it has patches.

    Args:
        model (nn.Module): A classifier, or a backbone.
    """
    backbone = getattr(model, 'backbone', model)
    sides = getattr(getattr(backbone, 'patch_embed', None), 'init_out_size', None)
    if getattr(backbone, 'pos_embed', None) is None or sides is None:
        return None
    return int(sides[0]), int(sides[1])


def check_grid(model: Any, content: Any, given: str) -> None:
    """Refuse position embeddings of another grid of as many patches.

    Args:
        model (nn.Module): The model that they are for.
        content (Any): Content of the file.
        given (str): Its name in messages.

    Raises:
        ValueError: If both say their grids and these differ.
    """
    own, saved = own_grid(model), saved_grid(content)
    if own is None or own == saved:
        return
    here = f'{own[0]} × {own[1]}'
    if saved is not None:
        raise ValueError(
            f'{given} has position embeddings of {saved[0]} × {saved[1]} patches, but the model '
            f'has {here}: set its backbone.img_size as in the training of the file, or fine-tune '
            'by DistilledInitHook, which interpolates them.'
        )
    MMLogger.get_current_instance().warning(
        f'{given} does not say the grid of its position embeddings: they are taken for {here} '
        'patches, as the model has.'
    )


def _stock_backbone(path: str) -> ConfigDict:
    try:
        return (get_config(path).get('model') or {}).get('backbone') or {}
    except Exception:  # of another release of MMPretrain
        return {}


def _whole(number: Any) -> bool:
    return type(number) is int and number > 0
