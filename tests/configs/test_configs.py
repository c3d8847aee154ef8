"""Every config trains at reduced size; the ImageNet ones say what was published."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from models import ARCH
from small_runs import reduce, shrink
from watched_runs import trained

from mmcskd import CSKDLoss, SpatialResponseRecorder

CONFIGS = Path(__file__).parents[2] / 'configs'
# Inherited by others and not to be run.
SHARED = {CONFIGS / 'demo' / 'digits.py', *(CONFIGS / '_base_').rglob('*.py')}
# Other datasets, many teachers, other tasks (tests/transfer), tests/test_evidence.py: not here.
NOT_HERE = {'ablation', 'custom', 'downstream', 'evidence', 'pictures', 'transfer'}
EVERY = sorted(
    path
    for path in set(CONFIGS.rglob('*.py')) - SHARED
    if not NOT_HERE & set(path.relative_to(CONFIGS).parts)
)
GPUS = 8


def expected_losses(path):
    kind = path.stem.split('_')[0]
    if kind in ('none', 'teacher'):
        return set()
    names = {
        'deit': {'loss_base', 'loss_deit'},
        'cskd': {'loss_base', 'loss_deit', 'loss_cskd'},
        'cskd-plus': {'loss_base', 'loss_cskd', 'loss_deit', 'loss_cls'},
        'cskd-features': {'loss_base', 'loss_cskd', 'loss_deit', 'loss_feature'},
    }
    # Without a distillation token there is no DeiT term.
    tokenless = path.stem.startswith(('cskd_vit-', 'cskd_swin-'))
    return names[kind] - ({'loss_deit'} if tokenless else set())


def test_no_config_is_forgotten():
    """A folder that is neither tested here nor named above is an oversight."""
    assert len(EVERY) >= 14
    assert {path.parent.name for path in EVERY} == {'configs', 'demo'}
    kinds = {'cskd', 'cskd-features', 'cskd-plus', 'deit', 'none', 'teacher'}
    assert {path.stem.split('_')[0] for path in EVERY} == kinds


@pytest.mark.parametrize('path', EVERY, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_trains(path, imagenet, tmp_path):
    """Two steps, since heads that start at zero pass no gradient on in the first; a validation."""
    runner = Runner.from_cfg(reduce(path, imagenet, tmp_path))
    steps = trained(runner)

    assert len(steps.losses) == 2
    for losses in steps.losses:
        assert np.isfinite(list(losses.values())).all(), losses
        parts = {name for name in losses if name.startswith('loss_')}
        assert parts == expected_losses(path)
        if parts:
            assert losses['loss'] == pytest.approx(sum(losses[name] for name in parts), rel=1e-3)
        assert losses['loss'] > 0

    for name, gradients in steps.gradients.items():
        assert len(gradients) == 2 and np.isfinite(gradients).all(), name
        assert gradients[1] > 0, name
    for name, parameter in steps.student.named_parameters():
        assert torch.isfinite(parameter).all(), name
        assert not torch.equal(parameter, steps.start[name]), name
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100


SIZES = {
    'ti': dict(arch='deit-tiny', width=192, batch=1024, lr=1e-3),
    's': dict(arch='deit-small', width=384, batch=512, lr=5e-4),
    'b': dict(arch='deit-base', width=768, batch=256, lr=2.5e-4),
}


@pytest.fixture(params=SIZES)
def published(request):
    """Config and row of the published table for each size."""
    cfg = Config.fromfile(CONFIGS / f'cskd_deit-{request.param}_regnety.py')
    return cfg, SIZES[request.param]


def built_losses(cfg):
    losses = cfg.model.distiller.distill_losses
    return {name: MODELS.build(dict(loss, _scope_='mmrazor')) for name, loss in losses.items()}


def test_student_and_teacher(published):
    cfg, row = published
    student, teacher = cfg.model.architecture, cfg.model.teacher
    assert student.backbone.type == 'DistilledVisionTransformer'
    assert (student.backbone.arch, student.head.in_channels) == (row['arch'], row['width'])
    assert (student.backbone.img_size, student.backbone.patch_size) == (224, 16)
    assert student.backbone.drop_path_rate == 0 and student.backbone.drop_rate == 0
    assert student.head.num_classes == teacher.head.num_classes == 1000
    assert (teacher.backbone.type, teacher.backbone.model_name) == ('TIMMBackbone', 'regnety_160')
    url = 'https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth'
    assert cfg.model.teacher_ckpt == url
    assert not cfg.model.get('random_teacher', False)


def test_losses(published):
    """(1 - α) · base + α · deit + β · cskd with α = 0.5 and β = 1, hard."""
    cfg, _ = published
    base = cfg.model.architecture.head.loss
    assert (base.type, base.label_smooth_val, base.loss_weight) == ('LabelSmoothLoss', 0.1, 0.5)
    losses = built_losses(cfg)
    assert {k: (v.mode, v.loss_weight) for k, v in losses.items()} == {
        'loss_deit': ('hard', 0.5),
        'loss_cskd': ('hard', 1.0),
    }
    (ckf,) = (hook for hook in cfg.custom_hooks if hook.type == 'mmrazor.CKFHook')
    assert ckf.schedule == 'linear' and not ckf.get('by_epoch', False)


def test_data(published):
    cfg, row = published
    loader = cfg.train_dataloader
    assert loader.batch_size * GPUS == cfg.auto_scale_lr.base_batch_size == row['batch']
    assert not cfg.auto_scale_lr.get('enable', False)
    assert loader.dataset.data_root == cfg.val_dataloader.dataset.data_root == 'data/imagenet'
    assert (loader.sampler.type, loader.sampler.num_repeats) == ('RepeatAugSampler', 3)

    steps = [step.type for step in loader.dataset.pipeline]
    assert steps == [
        'LoadWholeImage',
        'RandomResizedCrop',
        'RandomFlip',
        'RandAugment',
        'RandomErasing',
        'PackInputs',
    ]
    assert loader.dataset.pipeline[0].on_error == 'skip'
    crop, _, randaugment, erasing = loader.dataset.pipeline[1:5]
    assert (crop.scale, crop.interpolation) == (224, 'bicubic')
    # m9-mstd0.5-inc1 of timm: two operations whose strength grows with the magnitude.
    assert (randaugment.policies, randaugment.num_policies) == ('timm_increasing', 2)
    assert (randaugment.magnitude_level, randaugment.total_level) == (9, 10)
    assert randaugment.magnitude_std == 0.5
    assert randaugment.hparams.interpolation == 'bicubic'
    # 'rand': each pixel its own noise.
    assert (erasing.erase_prob, erasing.mode) == (0.25, 'rand')

    preprocessor = MODELS.build(cfg.data_preprocessor)
    mixes = preprocessor.batch_augments
    assert [(type(mix).__name__, mix.alpha) for mix in mixes.augments] == [
        ('Mixup', 0.8),
        ('CutMix', 1.0),
    ]
    # One of the two for every batch, each with probability 0.5.
    assert mixes.probs is None
    assert preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert preprocessor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])

    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        _, resize, crop, _ = loader.dataset.pipeline
        assert (resize.scale, resize.edge, resize.interpolation) == (256, 'short', 'bicubic')
        assert (crop.type, crop.crop_size) == ('CenterCrop', 224)


def test_optimisation(published):
    cfg, row = published
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('AdamW', row['lr'])
    assert (optimizer.eps, optimizer.weight_decay) == (1e-8, 0.05)
    assert cfg.optim_wrapper.get('clip_grad') is None
    assert 'accumulative_counts' not in cfg.optim_wrapper
    assert cfg.optim_wrapper.type == 'mmrazor.DeviceAmpOptimWrapper'
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert (cfg.train_cfg.by_epoch, cfg.train_cfg.max_epochs) == (True, 300)
    assert cfg.train_cfg.val_interval == 1
    warmup, cosine = cfg.param_scheduler
    assert optimizer.lr * warmup.start_factor == pytest.approx(1e-6)
    assert (warmup.get('begin', 0), warmup.end, cosine.begin, cosine.eta_min) == (0, 5, 5, 1e-5)
    (ema,) = (hook for hook in cfg.custom_hooks if hook.type == 'EMAHook')
    assert ema.momentum == pytest.approx(1 - 0.99996)
    assert ema.evaluate_on_origin and cfg.default_hooks.checkpoint.save_best == 'accuracy/top1'


IMAGENET = sorted([*CONFIGS.glob('*.py'), *(CONFIGS / 'ablation').glob('*.py')])


@pytest.mark.parametrize('path', IMAGENET, ids=lambda path: path.stem)
def test_the_raw_student_is_evaluated(path):
    """The published accuracy is the raw student's; a student in shards has no average beside it."""
    hooks = Config.fromfile(path).custom_hooks
    averages = [hook for hook in hooks if hook.type == 'EMAHook']
    assert len(averages) == (not path.stem.endswith('_fsdp'))
    assert all(hook.evaluate_on_origin for hook in averages)


@ROOT_MODELS.register_module()
class OneWeight(BaseModel):
    """All that an optimizer needs."""

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs


def test_learning_rate_in_effect(published, imagenet, tmp_path):
    """The whole run's learning rates, from the schedulers that the runner builds."""
    cfg, row = published
    schedulers = cfg.param_scheduler
    path = Path(cfg.filename)
    cfg = reduce(path, imagenet, tmp_path)
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 300, schedulers
    cfg.model, cfg.custom_hooks = dict(type='OneWeight'), []
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    schedulers = runner.build_param_scheduler(runner.param_schedulers)
    rates = []
    for _ in range(300):
        for _ in range(2):  # iterations of an epoch
            rates.append(runner.optim_wrapper.get_lr()['lr'][0])
            [scheduler.step() for scheduler in schedulers if not scheduler.by_epoch]
        [scheduler.step() for scheduler in schedulers if scheduler.by_epoch]
    assert rates[0] == pytest.approx(1e-6)
    assert np.all(np.diff(rates[:10]) > 0)
    assert max(rates) == pytest.approx(row['lr']) == rates[10]
    halfway = 1e-5 + (row['lr'] - 1e-5) * (1 + np.cos(np.pi * 150 / 295)) / 2
    assert rates[2 * 155] == pytest.approx(halfway, rel=1e-6)
    assert np.all(np.diff(rates[10:]) <= 0)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)


def test_weight_decay_in_effect(published):
    """None on biases, norms, tokens and the position embedding; 0.05 on all the rest."""
    cfg, row = published
    shrink(cfg)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    assert len(groups) == len(list(model.parameters()))
    spared = {f'architecture.backbone.{name}' for name in ('cls_token', 'dist_token', 'pos_embed')}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            spared |= {f'{name}.weight', f'{name}.bias'}
    weights = {True: 0, False: 0}
    for name, parameter in model.named_parameters():
        free = name in spared or name.endswith('.bias')
        weights[free] += 1
        assert groups[id(parameter)]['weight_decay'] == (0.0 if free else 0.05), name
        assert groups[id(parameter)]['lr'] == row['lr'], name
    # Per layer qkv, projection and two of the MLP; patch projection and both heads.
    assert weights[False] == 4 * ARCH['num_layers'] + 3
    assert weights[True] > len(spared)


@pytest.mark.parametrize('size', SIZES)
def test_twins_differ_in_the_distillation_alone(size):
    """What is compared with CSKD was trained by the same recipe."""
    cskd, deit, none = (
        Config.fromfile(CONFIGS / f'{name}.py')
        for name in (f'cskd_deit-{size}_regnety', f'deit_deit-{size}_regnety', f'none_deit-{size}')
    )
    same = ['optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr', 'train_dataloader']
    same += ['val_dataloader', 'test_dataloader', 'data_preprocessor', 'default_hooks']
    for key in same:
        assert cskd[key] == deit[key] == none[key], key
    assert cskd.custom_hooks[:-1] == deit.custom_hooks == none.custom_hooks
    assert [hook.type for hook in none.custom_hooks] == ['EMAHook']
    for key in ('architecture', 'teacher', 'teacher_ckpt', 'type'):
        assert cskd.model[key] == deit.model[key], key
    assert set(deit.model.distiller.distill_losses) == {'loss_deit'}
    for key in ('arch', 'img_size', 'patch_size', 'drop_path_rate', 'drop_rate'):
        assert none.model.backbone[key] == cskd.model.architecture.backbone[key], key
    assert none.model.head.loss.label_smooth_val == 0.1
    assert none.model.head.loss.get('loss_weight', 1.0) == 1.0
    assert none.model.init_cfg == cskd.model.architecture.init_cfg


def lines_of_code(text):
    return [line for line in text.splitlines() if line.split('#')[0].strip()]


SWAPS = ('cskd_deit-s_resnet50.py', 'cskd_vit-b16_regnety.py')


@pytest.mark.parametrize('name', SWAPS)
def test_swap_is_short(name):
    text = (CONFIGS / name).read_text()
    (model,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'model'
    )
    statement = '\n'.join(text.splitlines()[model.lineno - 1 : model.end_lineno])
    assert len(lines_of_code(text)) <= 14
    assert 0 < len(lines_of_code(statement)) < 10


def test_teacher_is_swapped():
    """MMPretrain's own ResNet-50: a 7 × 7 grid of its 1000 classes, nothing else changed."""
    ours, base = (Config.fromfile(CONFIGS / name) for name in (SWAPS[0], 'cskd_deit-s_regnety.py'))
    assert ours.model.teacher == dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py')
    assert ours.model.teacher_ckpt.endswith('/resnet50_8xb32_in1k_20210831-ea4938fc.pth')
    for key in ('architecture', 'distiller', 'type'):
        assert ours.model[key] == base.model[key], key
    teacher = MODELS.build(ours.model.teacher).eval()
    recorder = SpatialResponseRecorder()
    recorder.initialize(teacher)
    with recorder, torch.no_grad():
        teacher(torch.zeros(1, 3, 224, 224), mode='tensor')
    spatial, whole = recorder.data_buffer[0]
    assert (spatial.shape, whole.shape) == ((1, 1000, 7, 7), (1, 1000))


def test_student_is_swapped():
    """A stock ViT-B/16 with the CSKD term alone."""
    cfg = Config.fromfile(CONFIGS / SWAPS[1])
    student = cfg.model.architecture
    assert (student.backbone.type, student.backbone.arch) == ('VisionTransformer', 'b')
    assert (student.head.type, student.head.loss.loss_weight) == ('VisionTransformerClsHead', 1.0)
    shrink(cfg)
    built = MODELS.build(student)
    built.init_weights()
    assert not built.head_dist.weight.any() and not built.head.layers.head.weight.any()
    assert float(built.backbone.layers[0].attn.qkv.weight.std()) == pytest.approx(0.02, rel=0.1)
    losses = built_losses(cfg)
    assert set(losses) == set(cfg.model.distiller.loss_forward_mappings) == {'loss_cskd'}
    assert isinstance(losses['loss_cskd'], CSKDLoss) and losses['loss_cskd'].loss_weight == 1.0
