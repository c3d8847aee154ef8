"""Every ablation differs from the main config in what its name says, and trains."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from models import ARCH, tokens_of
from watched_runs import trained

CONFIGS = Path(__file__).parents[2] / 'configs'
ABLATIONS = sorted((CONFIGS / 'ablation').glob('*.py'))
MAIN = CONFIGS / 'cskd_deit-ti_regnety.py'
# The fusion weight before each of the two iterations of one epoch of two.
FUSION = dict(linear=[1, 0.75], x2=[1, 0.5625], cos=[1, 0.923880], constant=[0.5, 0.5])
FUSION.update({'by-epoch': [1, 1], 'no-ckf': [1, 1], 'global': [0, 0]})
TEACHERS = {
    'resnet18': ('ResNet', 512),
    'resnet50': ('ResNet', 2048),
    'resnet101': ('ResNet', 2048),
    'resnet152': ('ResNet', 2048),
    'regnetx-1.6gf': ('RegNet', 912),
    'regnetx-4.0gf': ('RegNet', 1360),
    'regnetx-12gf': ('RegNet', 2240),
}


def kind(path):
    return path.stem.replace('cskd_deit-ti_', '')


class StopAfterAnEpoch(Hook):
    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def reduce(path, imagenet, work_dir):
    cfg = Config.fromfile(path)
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'{path.stem}_{work_dir.name}'
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 2, None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.train_dataloader.update(batch_size=3, num_workers=0)
    cfg.train_dataloader.dataset.data_root = str(imagenet)
    # Small images serve: the classes, tokens and grids stay in proportion.
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'RandomResizedCrop':
            step.scale = 64
    student = cfg.model.architecture
    student.backbone.update(arch=ARCH, img_size=64)
    student.head.in_channels = ARCH['embed_dims']
    # Nowhere but here: noise instead of the teacher's weights.
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    if 'backbone' in cfg.model.teacher:
        cfg.model.teacher.backbone.model_name = 'regnety_002'
        cfg.model.teacher.head.in_channels = 368
    return cfg


@pytest.mark.parametrize('path', ABLATIONS, ids=kind)
def test_trains(path, imagenet, tmp_path):
    runner = Runner.from_cfg(reduce(path, imagenet, tmp_path))
    # The schedules of two epochs, of which one runs.
    runner.register_hook(StopAfterAnEpoch())
    steps = trained(runner)

    expected = {'loss_base', 'loss_cskd'} | ({'loss_deit'} if kind(path) != 'no-deit' else set())
    assert len(steps.losses) == 2
    for losses in steps.losses:
        assert {name for name in losses if name.startswith('loss_')} == expected
        assert np.isfinite(list(losses.values())).all()
        assert losses['loss'] == pytest.approx(sum(losses[name] for name in expected), rel=1e-3)
    assert steps.fusion == pytest.approx(FUSION.get(kind(path), FUSION['linear']), abs=1e-6)
    # No weight is left out, so DistributedDataParallel needs no find_unused_parameters.
    assert set(steps.gradients) == {name for name, _ in runner.model.student.named_parameters()}
    for name, gradients in steps.gradients.items():
        assert gradients[-1] > 0, name
    if kind(path) in TEACHERS:
        teacher = runner.model.teacher
        backbone, width = TEACHERS[kind(path)]
        assert type(teacher.backbone).__name__ == backbone
        assert tuple(teacher.head.fc.weight.shape) == (1000, width)
        # RegNetX saw BGR in training, and does here.
        assert bool(teacher._forward_pre_hooks) == (backbone == 'RegNet')


def without(cfg, *keys):
    """The config's plain data without the settings at these places."""
    cfg = cfg.to_dict()
    for key in keys:
        *way, last = key.split('.')
        part = cfg
        for name in way:
            part = part[name]
        part.pop(last, None)
    for place in ('filename', 'ckf'):
        cfg.pop(place, None)
    return cfg


CHANGES = {
    'soft': ['model.distiller.distill_losses.loss_cskd.mode'],
    'soft-deit': ['model.distiller.distill_losses.loss_deit.mode'],
    'no-ckf': ['model.distiller.distill_losses.loss_cskd.fusion_weight', 'custom_hooks'],
    'global': ['model.distiller.distill_losses.loss_cskd.fusion_weight', 'custom_hooks'],
    'no-deit': [
        'model.architecture.vote',
        'model.architecture.head.loss.loss_weight',
        'model.distiller',
    ],
    **dict.fromkeys(('x2', 'cos', 'constant', 'by-epoch'), ['custom_hooks']),
    **dict.fromkeys(TEACHERS, ['model.teacher', 'model.teacher_ckpt']),
}


def test_no_ablation_is_forgotten():
    assert {kind(path) for path in ABLATIONS} == set(CHANGES)


@pytest.mark.parametrize('path', ABLATIONS, ids=kind)
def test_differs_in_one_thing(path):
    main, cfg = Config.fromfile(MAIN), Config.fromfile(path)
    changed = CHANGES[kind(path)]
    assert without(cfg, *changed) == without(main, *changed)
    for key in changed:
        assert without(cfg, *(k for k in changed if k != key)) != without(
            main, *(k for k in changed if k != key)
        ), key
    assert cfg.custom_hooks[0] == main.custom_hooks[0]  # EMA
    lines = path.read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith('#')]) < 10


def test_hard_and_linear_are_the_main_config():
    cfg = Config.fromfile(MAIN)
    assert {k: v.mode for k, v in cfg.model.distiller.distill_losses.items()} == {
        'loss_deit': 'hard',
        'loss_cskd': 'hard',
    }
    assert cfg.custom_hooks[-1] == dict(type='mmrazor.CKFHook', schedule='linear')


def test_no_deit_answers_without_the_distillation_token():
    from mmpretrain.registry import MODELS

    path = CONFIGS / 'ablation' / 'cskd_deit-ti_no-deit.py'
    student = MODELS.build(Config.fromfile(path).model.architecture).eval()
    torch.nn.init.normal_(student.head.layers.head_dist.weight)
    layers, images = student.head.layers, torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = tokens_of(student, images)
        expected = layers.head(tokens[:, 0]) + layers.head_dist(tokens[:, 2:].mean(1))
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(student(images), expected / 2)


@pytest.mark.parametrize('name', TEACHERS)
def test_teacher_weights_belong_to_the_teacher(name):
    """As MMPretrain's own metafile pairs config and weights; OneDL's has them on another server."""
    import mmpretrain
    import yaml

    model = Config.fromfile(CONFIGS / 'ablation' / f'cskd_deit-ti_{name}.py').model
    stem = model.teacher.cfg_path.replace('mmpretrain::', 'configs/')
    metafile = Path(mmpretrain.__file__).parent / '.mim' / Path(stem).parent / 'metafile.yml'
    models = yaml.safe_load(metafile.read_text())['Models']
    weights = [Path(entry['Weights']).name for entry in models if entry['Config'] == stem]
    assert Path(model.teacher_ckpt).name in weights
