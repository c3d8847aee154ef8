"""Every config builds and takes a training step at reduced size; the recipe is the published one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from models import ARCH
from PIL import Image

CONFIGS = Path(__file__).parents[1] / 'configs'
IMAGENET = sorted(CONFIGS.glob('*.py'))
# Not to be run: what others inherit.
DEMO = sorted(set((CONFIGS / 'demo').glob('*.py')) - {CONFIGS / 'demo' / 'digits.py'})
GPUS = 8


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """A tiny ImageNet in its real layout."""
    root = tmp_path_factory.mktemp('imagenet')
    rng = np.random.default_rng(0)
    image = root / 'image.JPEG'
    Image.fromarray(rng.integers(0, 256, (300, 260, 3), dtype=np.uint8)).save(image)
    for index in range(1000):
        folder = root / 'train' / f'n{index:08d}'
        folder.mkdir(parents=True)
        (folder / f'{folder.name}_0.JPEG').symlink_to(image)
    return root


class Losses(Hook):
    """Keeps what each step logs."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs)


def reduce(cfg, imagenet, work_dir):
    """The same config in small: few layers, few images, no download."""
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.train_cfg.max_epochs = 1
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = None
    loader = cfg.train_dataloader
    loader.batch_size, loader.num_workers = 2, 0
    if loader.dataset.type == 'ImageNet':
        loader.dataset.update(data_root=str(imagenet), indices=4)
    else:
        loader.dataset.length = 4
    student = cfg.model.get('architecture', cfg.model)
    if 'Transformer' in student.backbone.type:
        student.backbone.arch = ARCH
        student.head.in_channels = ARCH['embed_dims']
    if 'teacher' in cfg.model:
        # The weights are left out here only, and explicitly.
        cfg.model.update(teacher_ckpt=None, random_teacher=True)
        if cfg.model.teacher.get('backbone', {}).get('model_name') == 'regnety_160':
            cfg.model.teacher.backbone.model_name = 'regnety_002'
            cfg.model.teacher.head.in_channels = 368
    return cfg


@pytest.mark.parametrize('path', IMAGENET + DEMO, ids=lambda path: path.stem)
def test_training_step(path, imagenet, tmp_path):
    cfg = reduce(Config.fromfile(path), imagenet, tmp_path / path.stem)
    watch = Losses()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    student = getattr(runner.model, 'student', runner.model)
    gradients = {}
    for name, parameter in student.named_parameters():
        assert parameter.requires_grad, name
        parameter.register_hook(lambda gradient, name=name: gradients.update({name: gradient}))
    runner.train()
    for name, parameter in student.named_parameters():
        assert torch.isfinite(parameter).all(), name
        # After one step heads that start at zero let the gradient through to all the rest.
        assert gradients[name].abs().sum() > 0, name
    assert watch.losses
    for losses in watch.losses:
        assert all(torch.isfinite(torch.as_tensor(value)) for value in losses.values())
    names = {name for name in watch.losses[0] if 'loss' in name}
    expected = {
        'cskd_vit-b16': {'loss', 'loss_base', 'loss_cskd'},
        'cskd': {'loss', 'loss_base', 'loss_deit', 'loss_cskd'},
        'deit': {'loss', 'loss_base', 'loss_deit'},
    }
    kind = next((kind for kind in expected if path.stem.startswith(kind)), None)
    assert names == expected.get(kind, {'loss'})


RECIPES = dict(
    ti=('deit-tiny', 1024, 1e-3), s=('deit-small', 512, 5e-4), b=('deit-base', 256, 2.5e-4)
)


@pytest.mark.parametrize('kind', ['cskd_deit-{}_regnety', 'deit_deit-{}_regnety', 'none_deit-{}'])
@pytest.mark.parametrize('size', RECIPES)
def test_published_recipe(kind, size):
    arch, total_batch, lr = RECIPES[size]
    cfg = Config.fromfile(CONFIGS / f'{kind.format(size)}.py')
    student = cfg.model.get('architecture', cfg.model)
    distilled = 'teacher' in cfg.model

    assert student.backbone.arch == arch
    assert student.backbone.drop_path_rate == student.backbone.drop_rate == 0
    assert student.head.loss.label_smooth_val == 0.1
    assert student.head.loss.loss_weight == (0.5 if distilled else 1.0)
    assert GPUS * cfg.train_dataloader.batch_size == total_batch
    assert cfg.auto_scale_lr.base_batch_size == total_batch
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.eps, optimizer.weight_decay) == (
        'AdamW',
        lr,
        1e-8,
        0.05,
    )
    assert cfg.optim_wrapper.clip_grad is None
    assert cfg.optim_wrapper.type == 'mmrazor.DeviceAmpOptimWrapper'
    warmup, cosine = cfg.param_scheduler
    assert warmup.start_factor * lr == pytest.approx(1e-6)
    assert (warmup.end, cosine.begin, cosine.eta_min) == (5, 5, 1e-5)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (300, 1)
    (ema,) = (hook for hook in cfg.custom_hooks if hook.type == 'EMAHook')
    assert 1 - ema.momentum == pytest.approx(0.99996)

    sampler = cfg.train_dataloader.sampler
    assert (sampler.type, sampler.num_repeats) == ('RepeatAugSampler', 3)
    augments = cfg.data_preprocessor.batch_augments
    assert {a.type: a.alpha for a in augments.augments} == dict(Mixup=0.8, CutMix=1.0)
    assert 'probs' not in augments  # evenly
    pipeline = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert pipeline['RandomResizedCrop'].interpolation == 'bicubic'
    assert pipeline['RandomResizedCrop'].scale == 224
    rand = pipeline['RandAugment']
    assert (rand.policies, rand.num_policies) == ('timm_increasing', 2)
    assert (rand.magnitude_level, rand.magnitude_std) == (9, 0.5)
    assert (pipeline['RandomErasing'].erase_prob, pipeline['RandomErasing'].mode) == (0.25, 'rand')
    assert 'ColorJitter' not in pipeline
    test = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    assert (test['ResizeEdge'].scale, test['ResizeEdge'].interpolation) == (256, 'bicubic')
    assert test['CenterCrop'].crop_size == 224
    assert cfg.test_dataloader.dataset.data_root == 'data/imagenet'

    hooks = [hook.type for hook in cfg.custom_hooks]
    assert ('mmrazor.CKFHook' in hooks) == kind.startswith('cskd')
    if distilled:
        assert cfg.model.teacher_ckpt.endswith('/deit/regnety_160-a5fe301d.pth')
        assert cfg.model.teacher.backbone.model_name == 'regnety_160'
        losses = cfg.model.distiller.distill_losses
        assert losses.loss_deit.get('loss_weight', 0.5) == 0.5
        assert losses.loss_deit.get('mode', 'hard') == 'hard'
        if kind.startswith('cskd'):
            assert (losses.loss_cskd.loss_weight, losses.loss_cskd.mode) == (1.0, 'hard')


def test_weight_decay_in_effect():
    """None on biases, norms, tokens and position embedding; 0.05 on all the rest."""
    cfg = Config.fromfile(CONFIGS / 'cskd_deit-s_regnety.py')
    cfg.model.architecture.backbone.arch = ARCH
    cfg.model.architecture.head.in_channels = ARCH['embed_dims']
    cfg.model.teacher.backbone.model_name = 'regnety_002'
    cfg.model.teacher.head.in_channels = 368
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {id(p): g['weight_decay'] for g in wrapper.optimizer.param_groups for p in g['params']}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        spared = parameter.ndim == 1 or name.endswith(('cls_token', 'dist_token', 'pos_embed'))
        assert decay[id(parameter)] == (0.0 if spared else 0.05), name


@pytest.mark.parametrize('name', ['cskd_deit-s_resnet50.py', 'cskd_deit-ti_regnety.py'])
def test_swap_is_short(name):
    lines = (CONFIGS / name).read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith('#')]) < 10
