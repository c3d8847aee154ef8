"""The configs that `mmcskd distill` writes, one a step: what tools/train.py runs."""

from typing import Any, Dict, NamedTuple

from .models_by_name import NamedModel
from .recipe import Recipe

LINE = 100
MOST_VALIDATIONS = 10


class Setting(NamedTuple):
    """What the configs of all steps share."""

    datasets: Dict[str, Any]
    """split → function of a pipeline that gives the dataset's config."""
    classes: int
    augment: str
    seed: int
    devices: int
    amp: bool


def teacher_config(model: NamedModel, recipe: Recipe, setting: Setting, work_dir: str) -> str:
    """The config of the teacher's training, as Python source text.

    Args:
        model (NamedModel): The teacher.
        recipe (Recipe): How it is trained.
        setting (Setting): Data, seed and devices.
        work_dir (str): Where its checkpoints go.
    """
    parts = dict(model=model.config)
    return _text(f'The teacher, {model.name}.', parts, model, recipe, setting, work_dir)


def student_config(
    model: NamedModel,
    recipe: Recipe,
    setting: Setting,
    work_dir: str,
    teacher: NamedModel,
    teacher_ckpt: str,
) -> str:
    """The config in which the teacher teaches the student, as Python source text.

    Args:
        model (NamedModel): The student.
        recipe (Recipe): How it is trained.
        setting (Setting): Data, seed and devices.
        work_dir (str): Where its checkpoints go.
        teacher (NamedModel): The teacher.
        teacher_ckpt (str): Its weights.
    """
    token = model.config['head']['type'] == 'DeiTClsHead'
    own = dict(mean=list(teacher.mean), std=list(teacher.std), to_rgb=True)
    parts = dict(
        model=dict(
            _scope_='mmrazor',
            type='FrozenTeacherDistill',
            # The base loss, on the class token, counts half beside DeiT's term.
            architecture=_with_loss(model.config, 0.5 if token else 1.0),
            teacher=dict(_scope_='mmpretrain', **teacher.config, data_preprocessor=own),
            teacher_ckpt=teacher_ckpt,
            distiller=_Name('_base_.cskd_distiller' if token else '_base_.patch_distiller'),
        ),
        custom_hooks=[dict(type='mmrazor.CKFHook', schedule='linear')],
    )
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
    student = _with_loss(model.config, 1.0)
    if student['head']['type'] == 'DeiTClsHead':
        # Both tokens learn from the labels, as timm trains a distilled DeiT without a teacher.
        student.update(finetune=True, vote=['cls', 'dist'])
    else:
        student.update(type='ImageClassifier')
    return _text(f'{model.name} alone.', dict(model=student), model, recipe, setting, work_dir)


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
) -> str:
    batch = recipe.batch_size // setting.devices
    preprocessor = dict(
        type='mmpretrain.ClsDataPreprocessor',
        num_classes=setting.classes,
        mean=list(model.mean),
        std=list(model.std),
        to_rgb=True,
    )
    if recipe.mix:
        cut = dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[recipe.mix])
        preprocessor['batch_augments'] = cut
    train, test = pipelines(model.size, setting.augment)
    loaders = {
        f'{split}_dataloader': dict(
            batch_size=batch if split == 'train' else 2 * batch,
            num_workers=0,
            dataset=dataset(train if split == 'train' else test),
            sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
        )
        for split, dataset in setting.datasets.items()
    }
    evaluator = dict(type='Accuracy', topk=(1,))
    if 'test' in setting.datasets:
        loaders.update(test_evaluator=evaluator, test_cfg=dict())
    # A run of one epoch has none.
    warmup = min(max(1, round(recipe.epochs * recipe.warmup)), recipe.epochs - 1)
    rate = dict(convert_to_iter_based=True)
    base = ['mmpretrain::_base_/default_runtime.py', 'mmcskd::_base_/distillers.py']
    keys = dict(
        work_dir=work_dir,
        custom_imports=dict(imports=['mmcskd'], allow_failed_imports=False),
        **parts,
        data_preprocessor=preprocessor,
        **loaders,
        val_evaluator=evaluator,
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=recipe.lr, weight_decay=0.05),
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
            clip_grad=dict(max_norm=recipe.clip),
        ),
        param_scheduler=[
            *([dict(type='LinearLR', start_factor=1e-3, end=warmup, **rate)] if warmup else []),
            dict(type='CosineAnnealingLR', eta_min=recipe.lr / 200, begin=warmup, **rate),
        ],
        train_cfg=dict(
            by_epoch=True,
            max_epochs=recipe.epochs,
            val_interval=max(1, -(-recipe.epochs // MOST_VALIDATIONS)),
        ),
        val_cfg=dict(),
        randomness=dict(seed=setting.seed),
        default_hooks=dict(
            logger=dict(interval=50),
            checkpoint=dict(type='mmrazor.AtomicCheckpointHook', max_keep_ckpts=1),
            data_check=dict(type='mmrazor.DataCheckHook'),
            exact_resume=dict(type='mmrazor.ExactResumeHook'),
            preemption=dict(type='mmrazor.PreemptionHook'),
            finite_loss=dict(type='mmrazor.FiniteLossHook'),
        ),
    )
    lines = [f'# {title}', f'_base_ = {spelt(base)}', '']
    return '\n'.join([*lines, *(f'{key} = {spelt(keys[key])}' for key in keys)]) + '\n'


def pipelines(size: int, augment: str):
    """The pipelines of training and of evaluation, as configs.

    Args:
        size (int): Side of the images in pixels.
        augment (str): ``'light'`` or ``'photo'``.
    """
    fit = dict(type='Resize', scale=(size, size), interpolation='bicubic')
    load, pack = dict(type='LoadWholeImage', on_error='skip'), dict(type='PackInputs')
    shift = dict(type='RandomCrop', crop_size=size, padding=max(1, size // 8))
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    random = [fit, shift] if augment == 'light' else [fit, shift, flip]
    return [load, *random, pack], [dict(type='LoadImageFromFile'), fit, pack]


class _Name(str):
    """A name of the inherited config, which stands in the text without quotes."""


def spelt(value: Any, indent: int = 0) -> str:
    """A value as Python source text, laid out like the shipped configs.

    Args:
        value (Any): Of dicts, lists, tuples, texts, numbers, True, False and None.
        indent (int): Columns before it. Defaults to 0.
    """
    if isinstance(value, _Name):
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
