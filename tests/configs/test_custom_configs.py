"""The configs for one's own folders: a teacher, then a student that it teaches, and a baseline."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from models import ARCH
from PIL import Image
from watched_runs import trained

from mmcskd.app.launch import load_config

CUSTOM = Path(__file__).parents[2] / 'configs' / 'custom'
CLASSES = 10
KINDS = dict(
    teacher=set(), student={'loss_base', 'loss_deit', 'loss_cls', 'loss_cskd'}, baseline=set()
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Two splits of ten class folders with a picture each, in two formats."""
    root = tmp_path_factory.mktemp('own')
    draw = np.random.default_rng(0)
    for split in ('train', 'val'):
        for label in range(CLASSES):
            path = root / split / f'class {label}' / f'a.{"JPG" if label % 2 else "png"}'
            path.parent.mkdir(parents=True)
            Image.fromarray(draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """A small DeiT of 1000 classes in place of the published one."""
    config = Config.fromfile(CUSTOM / 'data.py').vit.to_dict()
    config.pop('head')
    config['backbone'].update(arch=dict(ARCH, _delete_=True))
    config['head'] = dict(in_channels=ARCH['embed_dims'])
    model = MODELS.build(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp('weights') / 'deit.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def reduced(name, folders, pretrained, work_dir):
    """The config as the tools load it, with small models and two steps an epoch."""
    options = {'train_dataloader.batch_size': 5}
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options.update({f'{loader}.num_workers': 0})
        options[f'{loader}.dataset.data_root'] = str(folders)
    args = Namespace(
        config=str(CUSTOM / f'{name}.py'),
        work_dir=str(work_dir / name),
        cfg_options=options,
        launcher='none',
        local_rank=0,
    )
    cfg = load_config(args, ['train_dataloader', 'val_dataloader'])
    for part in (cfg.model, cfg.model.get('teacher', {}), cfg.model.get('architecture', {})):
        backbone = part.get('backbone', {})
        if backbone.get('model_name') == 'regnety_040':
            backbone.update(model_name='regnety_002', pretrained=False)
            part.head.in_channels = 368
        elif 'cfg_path' in part:
            backbone.arch = dict(ARCH, _delete_=True)
            part.head.in_channels = ARCH['embed_dims']
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'mmrazor.DistilledInitHook':
            hook.checkpoint = str(pretrained)
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    cfg.experiment_name = f'{name}_{work_dir.name}'
    return cfg


@pytest.mark.slow
def test_a_teacher_then_its_student(folders, pretrained, tmp_path):
    taught = None
    for name, parts in KINDS.items():
        cfg = reduced(name, folders, pretrained, tmp_path)
        if name == 'student':
            cfg.model.teacher_ckpt = str(tmp_path / 'teacher' / 'epoch_1.pth')
        runner = Runner.from_cfg(cfg)
        steps = trained(runner)

        names = runner.train_dataloader.dataset.CLASSES
        assert list(names) == [f'class {label}' for label in range(CLASSES)]
        assert len(steps.losses) == 2
        for losses in steps.losses:
            assert np.isfinite(list(losses.values())).all(), losses
            assert {part for part in losses if part.startswith('loss_')} == parts
        for parameter, gradients in steps.gradients.items():
            assert np.isfinite(gradients).all() and gradients[-1] > 0, parameter
        assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100

        if name == 'teacher':
            taught = {key: value.clone() for key, value in runner.model.state_dict().items()}
            continue
        wanted = torch.load(pretrained)['state_dict']
        for key, value in steps.start.items():
            if key.startswith('backbone.'):
                assert torch.equal(value, wanted[key]), key
        if name == 'student':
            assert steps.fusion[0] == steps.fusion[1] == 1.0
            teacher = runner.model.teacher.state_dict()
            head = [key for key in taught if key.startswith('head.')]
            assert head and all(torch.equal(teacher[key], taught[key]) for key in head)


def test_set_once(tmp_path):
    """Whoever sets num_classes and data_root at the top of data.py has set them everywhere."""
    for path in (*CUSTOM.glob('*.py'), CUSTOM.parent / '_base_' / 'distillers.py'):
        text = path.read_text().replace('num_classes = 10', 'num_classes = 3')
        copy = tmp_path / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text.replace("data_root = 'data/custom'", "data_root = 'mine'"))
    for name in KINDS:
        cfg = Config.fromfile(tmp_path / 'custom' / f'{name}.py')
        model = cfg.model
        parts = [model.architecture, model.teacher] if name == 'student' else [model]
        assert {part.head.num_classes for part in parts} == {cfg.data_preprocessor.num_classes}
        assert cfg.data_preprocessor.num_classes == 3
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert loader.dataset.data_root == 'mine'


def test_student_and_baseline_differ_in_the_teacher_alone():
    student, baseline = (Config.fromfile(CUSTOM / f'{name}.py') for name in ('student', 'baseline'))
    for key in set(student) & set(baseline) - {'model', 'custom_hooks'}:
        assert student[key] == baseline[key], key
    one, other = student.model.architecture, baseline.model
    assert (one.cfg_path, one.backbone) == (other.cfg_path, other.backbone)
    assert student.custom_hooks[0] == baseline.custom_hooks[0]
    assert student.model.teacher_ckpt == 'work_dirs/teacher/epoch_15.pth'
    assert Config.fromfile(CUSTOM / 'teacher.py').train_cfg.max_epochs == 15


@pytest.mark.parametrize('pipeline', ['photo_pipeline', 'light_pipeline', 'test_pipeline'])
def test_pipelines(pipeline, folders):
    steps = Config.fromfile(CUSTOM / 'data.py')[pipeline]
    flips = [step for step in steps if 'Flip' in step['type']]
    assert len(flips) == (pipeline == 'photo_pipeline')
    dataset = DATASETS.build(
        dict(type='CustomDataset', data_root=str(folders), data_prefix='train', pipeline=steps)
    )
    assert dataset[0]['inputs'].shape == (3, 224, 224)
