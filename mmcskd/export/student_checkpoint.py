"""Read the student of a checkpoint, without executing anything in it."""

import copy
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope, Registry
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS
from torch import nn

from ..checks.class_names import check_class_names, checkpoint_classes
from ..checks.part import type_name
from ..runs.patch_grid import STOCK_CONFIG, check_grid
from ..runs.saved_config import (
    SavedConfigError,
    check_saved_config,
    importing_nothing,
    read_saved_config,
    registered,
)
from ..runs.weights import check_complete, choose_weights, read_checkpoint, unprefixed
from ..student.release_0_1 import rename_config, rename_weights
from ..student.stock_model import stock_model

STUDENTS = ('CSKDClassifier', 'ImageClassifier')
HINT = 'Does the config belong to it?'
# What MMPretrain's own configs are built from.
STOCK = ('mmpretrain', 'mmcv', 'mmengine', 'torchvision')
OURS = ('mmcskd', 'mmrazor')
# This package's transforms: the stock one for whole files, and the keys that it does not have.
STOCK_TRANSFORMS = dict(LoadWholeImage=('LoadImageFromFile', ('on_error',)))
KEYS = ('model', 'data_preprocessor', 'test_dataloader', 'val_dataloader')


class Student(NamedTuple):
    """The student of a checkpoint."""

    model: nn.Module
    """The classifier with its weights, in evaluation mode, with the score of all voters."""
    config: Config
    """The config of the same student in stock MMPretrain, with its test pipeline."""
    meta: dict
    """``dataset_meta``, ``epoch`` and ``iter`` of the checkpoint, if it has them."""
    weights: str
    """``'averaged'`` (EMA), ``'raw'``, or ``'only'`` if the checkpoint has one set."""


def load_student(
    checkpoint: str, ema: Optional[bool] = None, config: Optional[str] = None
) -> Student:
    """Build the student of a checkpoint; its teacher is neither built nor loaded.

    Args:
        checkpoint (str): File or URL, read without executing anything in it.
        ema (bool, optional): As in :func:`export_student`.
        config (str, optional): As in :func:`export_student`.

    Returns:
        Student: Model, stock config and metadata of the checkpoint.

    Raises:
        ValueError: As in :func:`export_student`.
    """
    given = f'CKPT "{checkpoint}"'
    content = read_checkpoint(checkpoint, given)
    if not isinstance(content, Mapping) or not isinstance(content.get('state_dict'), Mapping):
        raise ValueError(f'CKPT "{checkpoint}" has no "state_dict": give one of a training.')
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    own = config is not None
    cfg = _config(checkpoint, meta, config)
    try:
        trained = _student_config(checkpoint, cfg, own)
        stock = _stock_config(cfg, trained, own)
    except SavedConfigError as error:
        raise ValueError(
            f'CKPT "{checkpoint}": {error} Give the config file of the training with --config.'
        ) from None
    state, weights = choose_weights(content, given, ema)
    state = unprefixed(state)
    model = _build(trained, given, own).eval()
    # Completely or refused: MMPretrain's ViTs would resize position embeddings silently.
    rename_weights(state)
    check_complete(model.state_dict(), state, given, 'its student', HINT)
    check_grid(model, content, given)
    model.load_state_dict(state, strict=False)
    names = {
        given: checkpoint_classes(content),
        'test_dataloader.dataset': _dataset_names(cfg),
    }
    for warning in check_class_names(names):
        MMLogger.get_current_instance().warning(warning)
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'iter') if meta.get(key)}
    return Student(model, stock, kept, weights)


def _dataset_names(cfg: ConfigDict) -> Any:
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    names = dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes')
    return names if isinstance(names, (list, tuple)) else None


def _build(trained: ConfigDict, given: str, own: bool) -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        if own:
            return MODELS.build(copy.deepcopy(trained))
        try:
            with importing_nothing():
                return MODELS.build(copy.deepcopy(trained))
        except Exception as error:  # any error of a class in the config
            raise ValueError(
                f'{given}: The saved config cannot be built ({type(error).__name__}: {error}). '
                'Give the config file of the training with --config.'
            ) from error


def _config(checkpoint: str, meta: Mapping, config: Optional[str]) -> ConfigDict:
    if config is not None:
        if '::' not in config and not Path(config).is_file():
            raise ValueError(f'--config "{config}" is no file.')
        cfg = Config.fromfile(config)._cfg_dict
    elif not isinstance(meta.get('cfg'), str):
        raise ValueError(f'CKPT "{checkpoint}" carries no config: give it with --config.')
    else:
        try:
            cfg = read_saved_config(meta['cfg'], KEYS)
        except SavedConfigError as error:
            raise ValueError(
                f'CKPT "{checkpoint}": {error} Give the config file with --config.'
            ) from None
    model = cfg.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('architecture', {}), dict):
        raise ValueError(f'CKPT "{checkpoint}": its config sets no model.')
    return cfg


def _student_config(checkpoint: str, cfg: ConfigDict, own: bool) -> ConfigDict:
    """The student's part of the training config, without what loads or trains it."""
    key = 'model.architecture' if 'architecture' in cfg.model else 'model'
    trained = rename_config(copy.deepcopy(cfg.model.get('architecture', cfg.model)))
    kind = type_name(trained)
    if kind not in STUDENTS:
        expected = ' or '.join(f'"{name}"' for name in STUDENTS)
        raise ValueError(
            f'CKPT "{checkpoint}" has no student to export: {key}.type is "{kind}", expected '
            f'{expected}.'
        )
    path = trained.pop('cfg_path', None)
    if path is not None:
        if not own and not (isinstance(path, str) and STOCK_CONFIG.fullmatch(path)):
            raise SavedConfigError(
                f"It names the config {path!r}, which is not one of MMPretrain's."
            )
        trained = stock_model(path, trained)
    trained['type'] = kind
    for part in ('backbone', 'head'):
        found: Any = trained.get(part)
        name = type_name(found) if isinstance(found, dict) else None
        known = registered(name, MODELS)
        if known is None or not known.__module__.startswith('mmpretrain.'):
            raise ValueError(
                f'CKPT "{checkpoint}" has a student that stock MMPretrain cannot build: '
                f'{key}.{part}.type is "{name}".'
            )
        found.type = known.__name__
    return _stripped(trained, own)


def _stripped(trained: ConfigDict, own: bool) -> ConfigDict:
    """Remove keys that load or train a student, and scopes."""
    for found in (trained, trained.backbone, trained.head):
        for unused in ('_scope_', 'init_cfg'):
            found.pop(unused, None)
    for unused in ('train_cfg', 'pretrained', 'data_preprocessor'):
        trained.pop(unused, None)
    # The loss is weighted for distillation.
    trained.head.pop('loss', None)
    return trained if own else check_saved_config(trained, 'model', MODELS)


def _stock_config(cfg: ConfigDict, trained: ConfigDict, own: bool) -> Config:
    """The config with which stock MMPretrain builds the student and preprocesses its images."""
    model = copy.deepcopy(trained)
    model.type = 'ImageClassifier'
    for ours in ('vote', 'source', 'finetune'):
        model.pop(ours, None)
    if model.get('neck') is not None:
        model.neck = stock_part(model.neck, MODELS, 'model.neck')
    stock = dict(default_scope='mmpretrain', model=model)
    student = cfg.model.get('architecture', cfg.model)
    for place in (cfg.model, cfg, student):
        if place.get('data_preprocessor'):
            preprocessor = copy.deepcopy(place['data_preprocessor'])
            preprocessor.pop('batch_augments', None)
            preprocessor['type'] = type_name(preprocessor.get('type', 'ClsDataPreprocessor'))
            if not own:
                preprocessor = check_saved_config(preprocessor, 'data_preprocessor', MODELS)
            stock['data_preprocessor'] = stock_part(preprocessor, MODELS, 'data_preprocessor')
            break
    for loader in (cfg.get('test_dataloader'), cfg.get('val_dataloader')):
        dataset = (loader or {}).get('dataset') or {}
        pipeline = dataset.get('pipeline')
        if pipeline is not None:
            # A dataset's type gives class names; one that stock MMPretrain lacks would not load.
            known = registered(type_name(dataset), DATASETS)
            module = '' if known is None else known.__module__
            name = type_name(dataset) if module.startswith('mmpretrain.') else 'CustomDataset'
            if not own:
                place = 'test_dataloader.dataset.pipeline'
                pipeline = check_saved_config(pipeline, place, TRANSFORMS)
            pipeline = stock_part(pipeline, TRANSFORMS, 'test_dataloader.dataset.pipeline')
            stock['test_dataloader'] = dict(dataset=dict(type=name, pipeline=pipeline))
            break
    return Config(stock)


def stock_part(part: Any, registry: Registry, key: str) -> Any:
    """A part of a config as stock MMPretrain builds it.

    Args:
        part (Any): A dict with a ``type``, or a list of them.
        registry (mmengine.Registry): Of its types.
        key (str): Its config key, for messages.

    Raises:
        ValueError: For a type of this package or MMRazor.
    """
    if isinstance(part, (list, tuple)):
        return [stock_part(each, registry, f'{key}.{index}') for index, each in enumerate(part)]
    if not isinstance(part, dict):
        return part
    if 'transforms' in part:  # of a transform around others
        inner = stock_part(part['transforms'], registry, f'{key}.transforms')
        part = type(part)({**part, 'transforms': inner})
    name = type_name(part)
    if name in STOCK_TRANSFORMS:
        kind, ours = STOCK_TRANSFORMS[name]
        return type(part)({k: kind if k == 'type' else v for k, v in part.items() if k not in ours})
    found = part.get('type') if isinstance(part.get('type'), str) else name
    known = registered(found, registry) or registered(name, registry)
    package = getattr(known, '__module__', '').split('.')[0]
    if package in OURS:
        raise ValueError(
            f'{key}.type is "{found}" of {package}, which stock MMPretrain does not have: put one '
            'of its own in that place of a config, and give this with --config.'
        )
    if package not in STOCK:
        MMLogger.get_current_instance().warning(
            f'{key}.type is "{found}", which the export takes over: import its module wherever the '
            'exported config is used.'
        )
    return part
