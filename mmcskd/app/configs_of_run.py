"""The configs that `mmcskd distill` writes, one a step: what tools/train.py runs."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS

from ..runs.weights import classifier_names
from .data_found import DataFound
from .models_by_name import NamedModel
from .recipe import SMALL_SIDE, Recipe
from .small_models import SMALL

LINE = 100
WORKERS = 4
MOST_VALIDATIONS = 10


class Setting(NamedTuple):
    """What the configs of all steps share."""

    found: DataFound
    augment: str
    """``'photo'`` or ``'light'``."""
    seed: int
    devices: int
    amp: bool


def teacher_config(model: NamedModel, recipe: Recipe, setting: Setting, work_dir: str) -> str:
    """The config of the teacher's training by labels, as Python source text.

    Args:
        model (NamedModel): The teacher.
        recipe (Recipe): How it is trained.
        setting (Setting): Data, seed and devices.
        work_dir (str): Where its checkpoints go.
    """
    parts: Dict[str, Any] = dict(model=_scoped(model.config), custom_hooks=[])
    if model.weights:
        parts['custom_hooks'] += [
            _start(model),
            dict(type='mmrazor.HeadFirstHook', epochs=round(recipe.epochs * recipe.head_first)),
        ]
        if setting.devices > 1:  # what is frozen has no gradients to exchange
            parts['model_wrapper_cfg'] = dict(
                type='MMDistributedDataParallel', find_unused_parameters=True
            )
    title = f'The teacher, {model.name}.'
    return _text(title, parts, model, recipe, setting, work_dir, teacher=True)


def student_config(
    model: NamedModel,
    recipe: Recipe,
    setting: Setting,
    work_dir: str,
    teacher: NamedModel,
    teacher_ckpt: str,
    bank: Optional[str] = None,
) -> str:
    """The config in which the teacher teaches the student, as Python source text.

    Args:
        model (NamedModel): The student.
        recipe (Recipe): How it is trained.
        setting (Setting): Data, seed and devices.
        work_dir (str): Where its checkpoints go.
        teacher (NamedModel): The teacher.
        teacher_ckpt (str): Its weights.
        bank (str, optional): Folder of its responses. Defaults to None: it runs.
    """
    token = _has_token(model)
    own = dict(mean=list(teacher.mean), std=list(teacher.std), to_rgb=True)
    distiller = '_base_.cskd_distiller' if token else '_base_.patch_distiller'
    # The base loss, on the class token, counts half beside the teacher's.
    student = dict(model.config, type='mmpretrain.CSKDClassifier')
    parts: Dict[str, Any] = dict(
        model=dict(
            _scope_='mmrazor',
            type='FrozenTeacherDistill',
            architecture=_with_loss(_dropping(student, recipe), 0.5 if token else 1.0),
            teacher=dict(_scope_='mmpretrain', **teacher.config, data_preprocessor=own),
            teacher_ckpt=teacher_ckpt,
            distiller=Source(distiller),
        ),
        custom_hooks=[],
    )
    if teacher.size != model.size:
        parts['model']['teacher_view'] = dict(size=(teacher.size, teacher.size))
    if bank is not None:
        classes = len(setting.found.classes)
        parts['model']['bank'] = dict(path=bank, top_k=classes)
        parts['custom_hooks'].append(dict(type='mmrazor.ResponseBankHook'))
    if model.weights:
        parts['custom_hooks'].insert(0, _start(model))
    title = f'{teacher.name} teaches {model.name}.'
    return _text(title, parts, model, recipe, setting, work_dir)


def baseline_config(model: NamedModel, recipe: Recipe, setting: Setting, work_dir: str) -> str:
    """The config of the same student without a teacher, as Python source text.

    Args:
        model (NamedModel): The student.
        recipe (Recipe): How it is trained.
        setting (Setting): Data, seed and devices.
        work_dir (str): Where its checkpoints go.
    """
    student = _with_loss(_dropping(model.config, recipe), 1.0)
    if _has_token(model):
        # Both tokens learn from the labels, as timm trains a distilled DeiT without a teacher.
        student.update(type='CSKDClassifier', finetune=True, vote=['cls', 'dist'])
    parts: Dict[str, Any] = dict(model=_scoped(student))
    if model.weights:
        parts['custom_hooks'] = [_start(model)]
    return _text(f'{model.name} without a teacher.', parts, model, recipe, setting, work_dir)


def _scoped(model: dict) -> dict:
    return dict(_scope_='mmpretrain', **model)


def _has_token(model: NamedModel) -> bool:
    return model.config['head']['type'] == 'DeiTClsHead'


def _classifier(model: NamedModel) -> List[str]:
    """The modules whose weights are of the classes, such as ``head.fc.``."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(_scoped(model.config))
    return sorted({name.rpartition('.')[0] + '.' for name in classifier_names(built)})


def _start(model: NamedModel) -> dict:
    """The hook that loads the weights to start from, all but the classes'."""
    grid = {} if model.grid is None else dict(grid=model.grid)
    return dict(type='mmrazor.DistilledInitHook', checkpoint=model.weights, **grid)


def _dropping(model: dict, recipe: Recipe) -> dict:
    if not recipe.drop_path or 'VisionTransformer' not in model['backbone']['type']:
        return model
    return {**model, 'backbone': {**model['backbone'], 'drop_path_rate': recipe.drop_path}}


def _with_loss(model: dict, weight: float) -> dict:
    """With the labels smoothed as in DeiT; the loss takes mixed labels too."""
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', loss_weight=weight)
    return {**model, 'head': {**model['head'], 'loss': loss}}


def _text(
    title: str,
    parts: dict,
    model: NamedModel,
    recipe: Recipe,
    setting: Setting,
    work_dir: str,
    teacher: bool = False,
) -> str:
    found = setting.found
    batch = recipe.batch_size // setting.devices
    preprocessor: Dict[str, Any] = dict(
        num_classes=len(found.classes),
        mean=list(model.mean),
        std=list(model.std),
        to_rgb=True,
    )
    if recipe.mix:
        mixes = [dict(type='CutMix', alpha=1.0)]
        if setting.augment == 'photo':
            mixes.append(dict(type='Mixup', alpha=0.8))
        probs = [recipe.mix / len(mixes)] * len(mixes)
        preprocessor['batch_augments'] = dict(augments=mixes, probs=probs)
    same = found.size['min'] == found.size['max'] == [model.size, model.size]
    train, test = pipelines(model.size, setting.augment, same, teacher)
    small = min(found.size['median']) <= SMALL_SIDE
    loaders: Dict[str, Any] = {
        f'{split}_dataloader': dict(
            _delete_=True,
            batch_size=batch if split == 'train' else 2 * batch,
            num_workers=0 if small else WORKERS,
            dataset=found.dataset(split, train if split == 'train' else test),
            sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
        )
        for split in found.counts
    }
    if 'test' not in found.counts:
        loaders['test_dataloader'] = loaders['val_dataloader']
    # A run of one epoch has none.
    warmup = min(max(1, round(recipe.epochs * recipe.warmup)), recipe.epochs - 1)
    rate = dict(convert_to_iter_based=True)
    optim_wrapper: Dict[str, Any] = dict(
        optimizer=dict(type='AdamW', lr=recipe.lr, weight_decay=0.05, foreach=True),
        clip_grad=dict(max_norm=recipe.clip),
    )
    if model.weights:
        # A new classifier learns ten times as fast as the weights that it is put on.
        keys = {name: dict(lr_mult=10.0) for name in _classifier(model)}
        optim_wrapper['paramwise_cfg'] = dict(custom_keys=keys)
    elif model.name in SMALL:
        # One group of parameters: a group for each takes a fifth of an iteration.
        optim_wrapper['_delete_'] = True
    if setting.amp:
        optim_wrapper.update(type='mmrazor.DeviceAmpOptimWrapper', dtype='bfloat16')
    imports = getattr(found, 'custom_imports', [])
    settings = dict(
        work_dir=work_dir,
        **(dict(custom_imports=dict(imports=['mmcskd', *imports])) if imports else {}),
        num_classes=len(found.classes),
        **parts,
        data_preprocessor=preprocessor,
        **loaders,
        optim_wrapper=optim_wrapper,
        param_scheduler=[
            *([dict(type='LinearLR', start_factor=1e-3, end=warmup, **rate)] if warmup else []),
            dict(type='CosineAnnealingLR', eta_min=recipe.lr / 200, begin=warmup, **rate),
        ],
        train_cfg=dict(
            max_epochs=recipe.epochs, val_interval=max(1, -(-recipe.epochs // MOST_VALIDATIONS))
        ),
        randomness=dict(seed=setting.seed),
        # The last weights are taken, so that val has no say in them.
        default_hooks=dict(
            logger=dict(interval=50),
            checkpoint=dict(save_best=None),
            progress=dict(type='mmrazor.ProgressHook'),
        ),
    )
    base = ['mmcskd::custom/data.py', 'mmcskd::custom/distillers.py']
    lines = [f'# {title}', f'_base_ = {spelt(base)}', '']
    lines += [f'{key} = {spelt(value)}' for key, value in settings.items()]
    return '\n'.join(lines) + '\n'


def pipelines(size: int, augment: str, same: bool, teacher: bool) -> Tuple[List, List]:
    """The pipelines of training and of evaluation, as configs.

    Args:
        size (int): Side of the images in pixels.
        augment (str): ``'light'`` or ``'photo'``.
        same (bool): Whether the pictures have this size already.
        teacher (bool): Whether it is a teacher's, whose pictures are flipped and cropped only.
    """
    load, pack = dict(type='LoadWholeImage', on_error='skip'), dict(type='PackInputs')
    look = dict(type='LoadImageFromFile')
    way = dict(backend='pillow', interpolation='bicubic')
    fit = [] if same else [dict(type='Resize', scale=(size, size), **way)]
    shift = dict(type='RandomCrop', crop_size=size, padding=max(1, size // 8), padding_mode='edge')
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    if augment == 'light':
        return [load, *fit, shift, pack], [look, *fit, pack]
    if size <= SMALL_SIDE:  # as is usual for CIFAR
        return [load, *fit, shift, flip, pack], [look, *fit, pack]
    crop = dict(type='RandomResizedCrop', scale=size, crop_ratio_range=(0.35, 1.0), **way)
    # Two of timm's transforms at strength 9, as for DeiT.
    recolour = dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    )
    # timm's usual share of a picture that is seen in evaluation.
    whole = dict(type='ResizeEdge', scale=round(size / 0.875), edge='short', **way)
    random = [crop, flip] if teacher else [crop, flip, recolour]
    return [load, *random, pack], [look, whole, dict(type='CenterCrop', crop_size=size), pack]


class Source(str):
    """Source text, such as a name of the inherited config, which stands there without quotes."""


def spelt(value: Any, indent: int = 0) -> str:
    """A value as Python source text, laid out like the shipped configs.

    Args:
        value (Any): Of dicts, lists, tuples, texts, numbers, True, False and None.
        indent (int): Columns before it. Defaults to 0.
    """
    if isinstance(value, Source):
        return str(value)
    if isinstance(value, dict):
        names = all(isinstance(key, str) and key.isidentifier() for key in value)
        opening, closing = ('dict(', ')') if names else ('{', '}')
        join = '{}={}' if names else '{!r}: {}'
        parts = [join.format(key, spelt(value[key], indent + 4)) for key in value]
    elif isinstance(value, (list, tuple)):
        opening, closing = '[]' if isinstance(value, list) else '()'
        parts = [spelt(each, indent + 4) for each in value]
        if isinstance(value, tuple) and len(parts) == 1:
            return f'({parts[0]},)'
    else:
        return repr(value)
    flat = f'{opening}{", ".join(parts)}{closing}'
    if len(flat) + indent <= LINE - 16 and '\n' not in flat:
        return flat
    space = ' ' * (indent + 4)
    return opening + '\n' + ''.join(f'{space}{part},\n' for part in parts) + ' ' * indent + closing
