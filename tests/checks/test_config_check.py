"""A config that MMEngine would trip over is refused before anything is built, by its key."""

import copy
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import IterTimerHook
from mmpretrain.datasets import PackInputs
from mmpretrain.evaluation import Accuracy
from models import CONFIGS
from torch.utils.data import DataLoader

from mmcskd import CKFHook, CSKDLoss
from mmcskd.checks.config_check import check_config
from mmcskd.checks.part import type_name

STOCK = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
DEMO = CONFIGS / 'demo' / 'cskd_vit_resnet18.py'


AUGMENT = dict(type='RandAugment', policies='timm_increasing', num_policies=2, magnitude_level=9)


@pytest.fixture(scope='module')
def demo():
    return Config.fromfile(DEMO)


@pytest.mark.parametrize(
    'path',
    [
        'deit/deit-small_4xb256_in1k.py',
        'vision_transformer/vit-base-p16_64xb64_in1k-384px.py',
        'swin_transformer/swin-tiny_16xb64_in1k.py',
        'resnet/resnet50_8xb32_in1k.py',
        'resnet/resnet18_8xb16_cifar10.py',
        'resnet/resnet50_8xb32-mixup_in1k.py',
        'convnext/convnext-tiny_32xb128_in1k.py',
        'efficientnet/efficientnet-b0_8xb32_in1k.py',
        'regnet/regnetx-1.6gf_8xb128_in1k.py',
        'mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py',
        'beit/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py',
        'deit3/deit3-small-p16_64xb64_in1k.py',
        'repvgg/repvgg-A0_8xb32_in1k.py',
        'mobileone/mobileone-s0_8xb32_in1k.py',
        'csra/resnet101-csra_1xb16_voc07-448px.py',
        'arcface/resnet50-arcface_8xb32_inshop.py',
    ],
)
def test_stock_configs_are_not_refused(path, monkeypatch):
    if not (STOCK / path).is_file():
        pytest.fail(f'{path} is none of {sorted(p.name for p in (STOCK / path).parent.iterdir())}')
    cfg = Config.fromfile(STOCK / path)
    monkeypatch.setattr(Path, 'exists', lambda self: True)  # the datasets
    check_config(cfg, ['train'])


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('train_cfg.max_epochs', 0, 'train_cfg.max_epochs is 0, expected a number >= 1'),
        ('optim_wrapper.optimizer.eps', float('nan'), 'optimizer.eps is nan, expected a number'),
        (
            'param_scheduler.1.begin',
            20,
            'param_scheduler.1.begin is 20, expected less than the end of the run, '
            'train_cfg.max_epochs=14',
        ),
        ('default_scope', 3, 'default_scope is 3, expected text'),
        ('default_scope', 'mmpretrained', 'default_scope is "mmpretrained". Nearest: "mmpretrain"'),
        ('train_cfg.max_epochs', '14', "train_cfg.max_epochs is '14', expected a whole number"),
        ('train_cfg.max_epoch', 14, 'train_cfg has no key "max_epoch". Nearest: "max_epochs"'),
        ('train_cfg.by_epoch', 1, 'train_cfg.by_epoch is 1, expected True or False'),
        ('train_cfg.type', 'IterBasedTrainLoop', 'has both "type" and "by_epoch"'),
        ('train_cfg.dynamic_intervals', [(5, 1), (3, 2)], 'expected in the order of time'),
        ('train_cfg.dynamic_intervals', [[3, 0]], r'dynamic_intervals has \[3, 0\]'),
        ('train_dataloader.batch_size', 0, 'train_dataloader.batch_size is 0'),
        ('train_dataloader.num_workers', 10**9, 'num_workers is 1000000000, expected at most 1024'),
        ('train_dataloader.num_worker', 2, 'Nearest: "num_workers"'),
        ('train_dataloader.persistent_workers', True, 'needs train_dataloader.num_workers > 0'),
        ('train_dataloader.prefetch_factor', 2, 'needs train_dataloader.num_workers > 0'),
        ('train_dataloader.sampler.type', 'DefaultSample', 'Nearest: "mmengine.DefaultSampler"'),
        (
            'train_dataloader.sampler',
            dict(type='RepeatAugSampler', num_repeats=-0.5),
            'sampler.num_repeats is -0.5, expected a whole number',
        ),
        ('train_dataloader.dataset.type', 'ClutteredDigit', 'Nearest: "ClutteredDigits"'),
        ('train_dataloader.dataset.pipeline', [], 'pipeline is missing or empty'),
        (
            'train_dataloader.dataset.pipeline',
            [dict(type='RandomCrop', crop_siz=3)],
            'pipeline.0 has no key "crop_siz". Nearest: "crop_size"',
        ),
        (
            'train_dataloader.dataset.pipeline',
            [dict(type='Resize', scale=3, interpolation='cubic')],
            'pipeline.0.interpolation is \'cubic\'. Nearest: "bicubic"',
        ),
        (
            'train_dataloader.dataset.pipeline',
            [dict(type='RandomErasing', fill_std=(1, None))],
            r'pipeline.0.fill_std is \(1, None\), expected a number or',
        ),
        ('train_dataloader.dataset.data_root', 'no/where', 'data_root="no/where" does not exist'),
        ('train_dataloader.collate_fn', 'x', "train_dataloader.collate_fn is 'x'"),
        ('val_evaluator.type', 'Accurcy', 'Nearest: "Accuracy"'),
        (
            'val_evaluator.topk',
            ['x'],
            "val_evaluator.topk is \\['x'\\], expected a whole number or a list",
        ),
        ('val_evaluator', None, 'val_evaluator is missing'),
        ('optim_wrapper.optimizer.lr', 'x', "optimizer.*lr.*'x'"),
        ('optim_wrapper.optimizer.lr', float('inf'), 'optimizer.lr is inf, expected a finite'),
        ('optim_wrapper.optimizer.type', 'AdamX', 'Nearest: "mmengine.Adam'),
        ('optim_wrapper.optimizer', dict(type='LBFGS', lr=1.0), 'optimizer.type: LBFGS needs a'),
        ('optim_wrapper.optimizer.betas', (0.9, 0.99, 0.999), 'optim_wrapper'),
        ('optim_wrapper.clip_grad', dict(max_norms=1), 'clip_grad has no key "max_norms"'),
        ('optim_wrapper', dict(type='AmpOptimWrapper', loss_scale='x'), "loss_scale is 'x', exp"),
        ('optim_wrapper.optimizer', dict(type='SGD', lr=1), 'lacks "weight_decay", of which '),
        ('optim_wrapper.constructor', 'x', 'optim_wrapper.constructor "x" is not registered'),
        ('optim_wrapper.clip_grad', {}, 'clip_grad lacks "max_norm", which clip_grad_norm_ needs'),
        ('optim_wrapper.clip_grad', 3, 'optim_wrapper.clip_grad is 3, expected a dict or None'),
        ('optim_wrapper.accumulative_counts', 0, 'accumulative_counts is 0'),
        ('param_scheduler.0.end', 0, 'param_scheduler.0.end is 0, expected more'),
        ('param_scheduler.0.start_factor', 'x', 'param_scheduler.0.start_factor is'),
        ('param_scheduler.1.eta_min', float('nan'), 'param_scheduler.1.eta_min is nan'),
        ('param_scheduler.1.begin', 14, 'param_scheduler.1'),
        ('param_scheduler.0.start_factor', 0, 'start_factor is 0, expected a number > 0'),
        ('param_scheduler', [dict(type='ConstantLR', factor=0.0)], 'factor is 0.0, expected a num'),
        ('param_scheduler', [dict(type='StepLR', step_size=1, gamma=-1)], 'gamma is -1, expected'),
        ('param_scheduler', [dict(type='PolyLR', power=-1.0, end=9)], 'power is -1.0, expected'),
        ('train_cfg', dict(max_epochs=3), 'train_cfg lacks "type" or "by_epoch"'),
        ('val_cfg', dict(_scope_='mmpretrain'), 'val_cfg has no "type"'),
        ('val_evaluator', [], r'val_evaluator is \[\], expected at least one metric'),
        ('randomness.seed', -1, 'randomness.seed is -1'),
        ('randomness', dict(), 'randomness lacks "seed"'),
        ('env_cfg.mp_cfg.mp_start_method', 'frok', 'Nearest: "fork'),
        ('env_cfg.dist_cfg.backend', 'ncl', 'backend is "ncl". Nearest: "nccl"'),
        ('env_cfg.dist_cfg.timeout', 0, 'env_cfg.dist_cfg.timeout is 0'),
        ('log_level', 'LOUD', 'log_level is "LOUD"'),
        ('default_scope', 'mmpretain', 'Nearest: "mmpretrain"'),
        ('visualizer.vis_backends', [dict(type='TensorboardBackend')], 'TensorboardVisBackend'),
        ('auto_scale_lr', dict(base_batch=3), 'Nearest: "base_batch_size"'),
        ('custom_hooks', [dict(type='EMAHook', momentun=0.1)], 'no key "momentun". Nearest: "mom'),
        (
            'default_hooks.visualization',
            dict(type='VisualizationHook', enable=0.5),
            'is 0.5, expec',
        ),
        ('default_hooks.visualization', dict(type='VisualizationHook', enabl=1), 'no key "enabl"'),
        (
            'default_hooks.checkpoint',
            dict(type='CheckpointHook', intervl=1),
            'default_hooks.checkpoint has no key "intervl". Nearest: "interval"',
        ),
        (
            'custom_hooks',
            [dict(type='IterTimerHook', priority='ABOE_NORMAL')],
            'custom_hooks.0.priority is .ABOE_NORMAL., .* Nearest: "ABOVE_NORMAL"',
        ),
        ('custom_hooks', [dict(type='EMAHook', momentum=3)], 'custom_hooks.0.momentum is 3'),
        ('resume', 'yes', "resume is 'yes', expected True or False"),
    ],
)
def test_message(demo, key, value, message):
    cfg = copy.deepcopy(demo)
    *path, last = key.split('.')
    part = cfg
    for each in path:
        part = part[int(each) if each.isdigit() else each]
    part[int(last) if last.isdigit() else last] = value
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        check_config(cfg)
    assert path[0] in str(raised.value) if path else key in str(raised.value)


@pytest.mark.parametrize(
    'transform, message',
    [
        (dict(AUGMENT, hparams=dict(pad_val=[])), r'hparams\.pad_val is \[\], expected a whole nu'),
        (dict(AUGMENT, hparams=dict(pad_val=0.5)), 'pad_val is 0.5, expected a whole number of 0'),
        (dict(AUGMENT, hparams=dict(pad_val=(7, 7))), 'pad_val is .*a tuple of one for each chan'),
        (dict(type='RandomErasing', fill_std=[1, 2, -1]), 'fill_std is .*, expected a number >= 0'),
        (dict(type='RandomErasing', fill_color=256), 'fill_color is 256, expected a number of 0 '),
        (dict(type='RandomCrop', crop_size=8, pad_val=(7, 7)), r'pad_val is \(7, 7\), expected a'),
        (dict(type='RandomCrop', crop_size=8, padding=[7, 7]), r'padding is .*or a tuple of 2'),
        (
            dict(type='RandomFlip', prob=0.5, direction=[]),
            r'direction is \[\], expected at least one',
        ),
        (dict(type='ResizeEdge', scale=0), 'scale is 0, expected numbers > 0'),
    ],
)
def test_what_a_transform_would_say_of_the_image_that_it_hits(demo, transform, message):
    cfg = copy.deepcopy(demo)
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='RandomApply', prob=0.1, transforms=[transform])
    ]
    with pytest.raises(ValueError, match=r'pipeline\.0\.transforms\.0\..*' + message):
        check_config(cfg)


MIXES = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(mean=[7, float('inf'), 7]), 'mean is .*, expected finite numbers'),
        (dict(mean=[]), r'mean is \[\], expected one number for each channel'),
        (dict(std=None), 'has one of mean and std: give both, or none'),
        (dict(std=[1, 2]), r'std is \[1, 2\], expected one number, or as many as mean'),
        (dict(std=[1, 0, 1]), 'std is .*, expected numbers > 0'),
        (dict(num_classes=2.5), 'num_classes is 2.5, expected a whole number or None'),
        (dict(pad_size_divisor=0), 'pad_size_divisor is 0, expected a number >= 1'),
        (dict(batch_augments=dict(augments=[])), 'augments is empty or missing, expected at least'),
        (dict(batch_augments=dict()), 'augments is empty or missing, expected at least one'),
        (dict(batch_augments=dict(augments=[3])), r'augments\.0 is 3, expected dict\(type='),
        (dict(batch_augments=dict(augments=dict(type='Mixup', alpha=1))), 'augments.alpha is 1, '),
        (dict(batch_augments=dict(MIXES, probs=[1.0])), r'probs is \[1.0\], expected a list with'),
        (dict(batch_augments=dict(MIXES, probs=[0.5, -0.5])), 'probs is .*, expected a list with'),
        (dict(batch_augments=dict(MIXES, prob=[0.5])), 'has no key "prob". Nearest: "probs"'),
    ],
)
def test_what_a_data_preprocessor_would_say_of_a_batch(demo, changes, message):
    for path in (CONFIGS / 'cskd_deit-s_regnety.py', CONFIGS / 'downstream' / 'deit-s_cars.py'):
        cfg = Config.fromfile(path)
        cfg.train_dataloader = cfg.val_dataloader = cfg.test_dataloader = demo.val_dataloader
        check_config(cfg)
        cfg.data_preprocessor = dict(cfg.data_preprocessor, **changes)
        with pytest.raises((ValueError, TypeError), match=r'^data_preprocessor.*' + message):
            check_config(cfg)


def test_a_misspelt_part_of_the_run(demo):
    cfg = copy.deepcopy(demo)
    cfg['optim_wraper'] = cfg.pop('optim_wrapper')
    with pytest.raises(ValueError, match='optim_wrapper is missing.*Nearest: "optim_wraper"'):
        check_config(cfg)


def test_the_unused_is_not_checked(demo):
    """A config that is tested need not have an optimizer that this machine can build."""
    cfg = copy.deepcopy(demo)
    cfg.optim_wrapper.optimizer.lr = 'x'
    check_config(cfg, ['test'])
    # Which of the two is by whether this torch says of what type it is.
    with pytest.raises((TypeError, ValueError), match='optim_wrapper.optimizer'):
        check_config(cfg, ['train'])


def test_nothing_is_drawn_or_changed(demo):
    """Checking is no part of the run: same random numbers after it, same config."""
    import random

    import numpy as np
    import torch

    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    cfg, before = copy.deepcopy(demo), state()
    check_config(cfg)
    assert state() == before and cfg.pretty_text == demo.pretty_text


def test_built_objects_pass(demo):
    cfg = copy.deepcopy(demo)
    cfg._cfg_dict.update(
        val_dataloader=DataLoader([1]),
        val_evaluator=Evaluator([Accuracy()]),
        custom_hooks=[CKFHook(), IterTimerHook()],
    )
    cfg.train_dataloader.dataset.pipeline = [PackInputs()]
    check_config(cfg)


@pytest.mark.parametrize('key, other', [('default_hooks', (1, 2)), ('custom_hooks', dict(a=1))])
def test_hooks_of_another_kind(demo, key, other):
    cfg = copy.deepcopy(demo)
    check_config(cfg)
    for value in (other, '', 0):
        cfg._cfg_dict[key] = value
        with pytest.raises(TypeError, match=f'{key} is .*, expected a (dict|list)'):
            check_config(cfg)


@pytest.mark.parametrize('kind', ['CSKDLoss', 'mmrazor.CSKDLoss', CSKDLoss, CSKDLoss()])
def test_every_spelling_of_a_type(kind):
    assert type_name(kind) == type_name(dict(type=kind)) == 'CSKDLoss'


@pytest.mark.parametrize('kind', ['mmrazor.CKFHook', CKFHook])
def test_loss_without_its_hook(demo, kind):
    cfg = copy.deepcopy(demo)
    cfg.model.distiller.distill_losses.loss_cskd.type = CSKDLoss
    cfg.custom_hooks = []
    with pytest.raises(ValueError, match=r'distill_losses\.loss_cskd .*mmrazor\.CKFHook'):
        check_config(cfg)
    check_config(cfg, ['test'])
    cfg.custom_hooks = [dict(type=kind)]
    check_config(cfg)
    cfg.custom_hooks = []
    cfg.model.distiller.distill_losses.loss_cskd.fusion_weight = 0.5
    check_config(cfg)


def test_average_of_shards(monkeypatch):
    monkeypatch.setattr(Path, 'exists', lambda self: True)  # the dataset
    for name in ('cskd_deit-b_regnety', 'cskd_deit-b_regnety_fsdp'):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        check_config(cfg)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='EMAHook')]
    with pytest.raises(ValueError, match='custom_hooks has an EMAHook.*first process'):
        check_config(cfg)


@pytest.mark.parametrize(
    'part',
    [
        dict(type='AmpOptimWrapper', loss_scale=512.0),
        dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=512.0)),
        dict(paramwise_cfg=dict(custom_keys=dict(bias=dict(decay_mult=0.0, lars_exclude=True)))),
        dict(paramwise_cfg=dict(custom_keys=dict(predictor=dict(fix_lr=True)))),
    ],
)
def test_what_is_annotated_otherwise(demo, part):
    cfg = copy.deepcopy(demo)
    cfg.optim_wrapper.update(part)
    check_config(cfg)


def test_a_whole_number_may_be_a_float(demo):
    """As in MMDetection's configs of V3Det, a fifth of all iterations."""
    cfg = copy.deepcopy(demo)
    cfg.train_cfg.val_interval = 10 / 5
    check_config(cfg)
    for value in (2.5, 0.5, float('nan'), '2'):
        cfg.train_cfg.val_interval = value
        with pytest.raises((ValueError, TypeError), match='train_cfg.val_interval is'):
            check_config(cfg)


def test_multiples_of_layers(demo):
    """MMPretrain's constructor reads other keys than MMEngine's."""
    cfg = copy.deepcopy(demo)
    cfg.optim_wrapper.update(
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.75, flat_decay_mult=0.0),
    )
    check_config(cfg)
    for name in ('layer_decay_rat', 'bias_lr_mult'):
        cfg.optim_wrapper.paramwise_cfg = {name: 0.75}
        with pytest.raises(ValueError, match=f'paramwise_cfg has no key "{name}"'):
            check_config(cfg)
    cfg.optim_wrapper.paramwise_cfg = dict(layer_decay_rate=0.75)
    cfg.optim_wrapper.optimizer = dict(type='AdamW')
    with pytest.raises(ValueError, match='optimizer lacks "lr", of which layer_decay_rate is a mu'):
        check_config(cfg)


def test_what_a_dataset_reads_is_there(tmp_path, demo):
    (tmp_path / 'images' / 'a').mkdir(parents=True)
    dataset = dict(
        type='CustomDataset', data_root=str(tmp_path), pipeline=[dict(type='PackInputs')]
    )
    cfg = copy.deepcopy(demo)
    cfg.train_dataloader.dataset = dict(dataset, data_prefix='images')
    check_config(cfg)
    for given, said in (
        (dict(data_prefix='image'), 'data_prefix="image" does not exist in .*data_root="'),
        (dict(ann_file='train.txt'), 'ann_file="train.txt" does not exist in'),
        (dict(metainfo=dict(classes='a')), r'metainfo\.classes="a" is no file of names'),
        (dict(metainfo=dict(classes=[])), r'metainfo\.classes is \[\]: no label would be left'),
        (dict(indices='x'), "indices is 'x', expected"),
    ):
        cfg.train_dataloader.dataset = dict(dataset, **given)
        with pytest.raises((TypeError, ValueError), match=r'train_dataloader\.dataset\.' + said):
            check_config(cfg)


def test_missing_dataset_within_another(demo):
    cfg = copy.deepcopy(demo)
    inner = dict(type='ImageNet', data_root='nowhere', pipeline=[dict(type='PackInputs')])
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=inner)
    match = r'train_dataloader\.dataset\.dataset\.data_root="nowhere"'
    with pytest.raises(ValueError, match=match):
        check_config(cfg)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {'train_dataloader.num_workers': 'two'},
            r'num_workers is .two., expected',
        ),
        ({'train_dataloader': 5}, 'train_dataloader is 5, expected'),
        (
            {'model.architecture.backbone.drop_path_rate': -0.5},
            r'drop_path_rate is -0\.5',
        ),
        (
            {'model.architecture.backbone.init_cfg': [dict(type='TruncNormal', layerq='Linear')]},
            r'model\.architecture\.backbone\.init_cfg has no key "layerq"\. Nearest: "layer"',
        ),
        (
            {'model.teacher.head.init_cfg': dict(type='TruncNormal', layer='Linearq')},
            r'model\.teacher\.head\.init_cfg\.layer is "Linearq"\. Nearest: "Linear"',
        ),
        (
            {'model.teacher.init_cfg': dict(type='Norml')},
            'init_cfg.type "Norml" is not .*mmengine.Normal"',
        ),
        ({'model.teacher.backbone.drop_path_rate': 1.0}, r'rate is 1\.0, .* less than 1'),
        (
            {'model.architecture.head.loss.loss_weight': -1},
            r'head\.loss\.loss_weight is -1',
        ),
        (
            {'model.distiller.distill_losses.loss_deit.loss_weight': -1.0},
            'deit.loss_weight is -1',
        ),
        (
            {'optim_wrapper.paramwise_cfg.norm_decay_mult': -1.0},
            'norm_decay_mult is -1.0',
        ),
        ({'optim_wrapper.paramwise_cfg.norm_decay_mul': 0.0}, 'Nearest: "norm_decay_mult"'),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys': {'.x': dict(lr_mult=-1)}},
            r'custom_keys\.\.x\.lr_mult is -1, expected',
        ),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys': dict(decay_mult=0.0)},
            r'custom_keys\.decay_mult is 0\.0, expected dict\(lr_mult=…',
        ),
        (
            {'optim_wrapper.paramwise_cfg.custom_keys': {'.x': {}}},
            r'custom_keys\.\.x is {}, expected dict\(lr_mult=…',
        ),
        (
            {'optim_wrapper.clip_grad': dict(max_norm=-1)},
            r'max_norm is -1, expected > 0',
        ),
        ({'param_scheduler.1.eta_min': -1e-5}, r'param_scheduler\.1\.eta_min is -1e-05, expected'),
        ({'valq_dataloader': {}}, 'valq_dataloader is no key .* Nearest: "val_dataloader"'),
        ({'default_hooks.loger': {}}, r'default_hooks\.loger is no key .* Nearest: "logger"'),
        ({'train_dataloader.sampler._scope_': 'mmretrain'}, r'sampler\._scope_ is "mmretrain"\.'),
        (
            dict(
                train_cfg=dict(by_epoch=False, max_iters=9),
                param_scheduler=[dict(type='StepLR', step_size=1)],
            ),
            r'param_scheduler\.0\.by_epoch is True, but train_cfg counts iterations',
        ),
        ({'train_cfg.val_begin': 99}, 'val_begin is 99, behind the end of the run, 14'),
        (
            {'train_cfg.dynamic_intervals': [[1, 1]]},
            r'has \[1, 1\], expected tuples',
        ),
    ],
)
def test_what_most_classes_take_at_its_word(demo, changes, message, monkeypatch):
    cfg = copy.deepcopy(demo)
    cfg.merge_from_dict(changes)
    for key, value in changes.items():
        if '.' not in key:
            cfg[key] = value
    monkeypatch.chdir(CONFIGS.parent)
    with pytest.raises((ValueError, TypeError), match=message):
        check_config(cfg)
