"""Models and weights that MMPretrain publishes, found by its metafiles."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from mmengine.hub import get_config
from mmpretrain import ModelHub, list_models

from ..checks.suggest import nearest

FOLDER, PREFIX = '/mmpretrain/.mim/configs/', 'mmpretrain::'


class Published(NamedTuple):
    """Weights that MMPretrain publishes for one of its classification configs."""

    name: str
    """Of the model, such as ``'resnet50_8xb32_in1k'``."""
    config: str
    """The config that the metafile names, ``'mmpretrain::…'``."""
    weights: str
    """URL."""
    top1: float
    """Accuracy in percent by the metafile, on the data set of the config."""
    parameters: int
    """Number of weights by the metafile; 0 if it does not say."""


def published(config: str) -> List[Published]:
    """The weights of a config, whatever their names: MMPretrain's metafiles say which fit it.

    Args:
        config (str): ``'mmpretrain::…'``, or a file.

    Returns:
        list[Published]: The one that the config is named after first, then by accuracy. Empty for
        a config of one's own, whose classes may be others. Weights without a classification
        accuracy, as of self-supervised training, are left out: their heads are random.
    """
    try:
        path = get_config(config).filename if '::' in config else config
    except Exception:  # a missing package or entry, each with another error
        return []
    path = Path(path).resolve()
    name = PREFIX + path.as_posix().rpartition(FOLDER)[2]
    found = [] if FOLDER not in path.as_posix() else all_published().values()
    fitting = [model for model in found if model.config == name]
    return sorted(fitting, key=lambda model: (model.name != path.stem, -model.top1))


def named(name: str) -> Published:
    """The model of a name, as ``mmpretrain.list_models`` gives it.

    Args:
        name (str): Such as ``'resnet50_8xb32_in1k'``.

    Raises:
        ValueError: If there is none, with the nearest names.
    """
    models = all_published()
    if name.lower() not in models:
        raise ValueError(
            f'"{name}" is no classifier with weights of MMPretrain. {nearest(name, models)}'
        )
    return models[name.lower()]


def all_published() -> Dict[str, Published]:
    """All of them by their names, in lower case."""
    list_models()  # reads the metafiles, once
    found = {}
    for key, model in ModelHub._models_dict.items():
        top1 = _top1(model)
        if top1 is not None and model.weights and isinstance(model.config, str):
            config = PREFIX + Path(model.config).as_posix().rpartition(FOLDER)[2]
            count = int(getattr(model.metadata, 'parameters', 0) or 0)
            found[key] = Published(model.name, config, model.weights, top1, count)
    return found


def _top1(model) -> Optional[float]:
    for result in model.results or ():
        if result.task == 'Image Classification':
            for name, value in (result.metrics or {}).items():
                if value is not None and name.lower().replace('-', ' ') == 'top 1 accuracy':
                    return float(value)
    return None
