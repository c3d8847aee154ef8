"""The model of a stock config, with changes."""

import copy

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config


def stock_model(cfg_path: str, changes: dict) -> ConfigDict:
    """The model of a config, with changes merged into it as a child config does.

    Args:
        cfg_path (str): A file, or ``'mmpretrain::…'`` for one of the package's own.
        changes (dict): Keys of the model; ``_delete_=True`` in one replaces instead of merging.

    Returns:
        mmengine.ConfigDict: An ``ImageClassifier``.

    Raises:
        ValueError: If there is no such config, or its model is no ``ImageClassifier``.
    """
    key = f'model.architecture.cfg_path="{cfg_path}"'
    try:
        cfg = get_config(cfg_path) if '::' in cfg_path else Config.fromfile(cfg_path)
    except Exception as error:  # a missing file, package or entry, each with an error of its own
        raise ValueError(f'{key} cannot be read ({type(error).__name__}: {error}).') from error
    model = cfg.get('model') or {}
    if model.get('type') not in ('ImageClassifier', 'mmpretrain.ImageClassifier'):
        raise ValueError(
            f'{key} has a model of type "{model.get("type")}", expected "ImageClassifier": name a '
            'classification config.'
        )
    merged = Config(dict(model=model))
    # Merging takes `_delete_` out of what it is given, which may be built from again.
    merged.merge_from_dict(dict(model=copy.deepcopy(changes)))
    return merged.model
