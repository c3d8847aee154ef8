"""The model of a stock config, with changes."""

import copy

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

CLASSIFIERS = ('ImageClassifier', 'mmpretrain.ImageClassifier')


def named_model(part: dict, key: str) -> dict:
    """A part of the algorithm, with the stock config read that its ``cfg_path`` names.

    MMRazor would build such a part with the keys beside ``cfg_path`` as defaults, which those of
    the stock config override without a word. Here they are merged into it.

    Args:
        part (dict): The config of a model.
        key (str): Its config key, for messages.

    Returns:
        dict: The config to build; ``part`` itself if it has a type or names no config.

    Raises:
        ValueError: If there is no such config, or it is to come with MMEngine's ``pretrained``.
    """
    if not part.get('cfg_path') or part.get('type'):
        return part
    changes = {name: value for name, value in part.items() if name not in ('cfg_path', '_scope_')}
    if changes.pop('pretrained', False):
        raise ValueError(
            f'{key}.pretrained is True, which loads what fits and leaves the rest at random: take '
            'it out, and set model.teacher_ckpt to the file or URL of the weights.'
        )
    return stock_model(part['cfg_path'], changes, key, any_type=True)


def stock_model(
    cfg_path: str,
    changes: dict,
    key: str = 'model.architecture',
    any_type: bool = False,
) -> ConfigDict:
    """The model of a config, with changes merged into it as a child config does.

    Args:
        cfg_path (str): A file, or ``'mmpretrain::…'`` for one of a package's own.
        changes (dict): Keys of the model; ``_delete_=True`` in one replaces it.
        key (str): Config key of the part that names it. Defaults to ``'model.architecture'``.
        any_type (bool): Whether it may be another model than an ``ImageClassifier``; it then comes
            with the config's ``data_preprocessor`` and the scope of its package. Defaults to False.

    Returns:
        mmengine.ConfigDict: The model.

    Raises:
        ValueError: If there is no such config, or its model has another type.
    """
    given = f'{key}.cfg_path="{cfg_path}"'
    try:
        cfg = get_config(cfg_path) if '::' in cfg_path else Config.fromfile(cfg_path)
    except Exception as error:  # a missing file, package or entry, each with another error
        raise ValueError(f'{given} cannot be read ({type(error).__name__}: {error}).') from error
    model = cfg.get('model') or {}
    kind = model.get('type')
    if kind is None or (not any_type and kind not in CLASSIFIERS):
        wanted = 'one' if any_type else f'"{CLASSIFIERS[0]}": name a classification config'
        raise ValueError(f'{given} has a model of type "{kind}", expected {wanted}.')
    scope = model.pop('_scope_', None) or cfg.get('default_scope')
    if any_type and cfg.get('data_preprocessor') is not None:
        model['data_preprocessor'] = cfg.data_preprocessor
    merged = Config(dict(model=model))
    # A copy: merging removes `_delete_`, and the caller may build from the changes again.
    merged.merge_from_dict(dict(model=copy.deepcopy(changes)))
    if any_type:
        merged.model['_scope_'] = cfg_path.partition('::')[0] if '::' in cfg_path else scope
    return merged.model
