"""The tools as a user runs them, on one and on two processes."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tool_runs import ROOT, TOOLS, call, losses, run

from mmcskd.app import launch
from mmcskd.app.runner import build_runner


@pytest.fixture(scope='module')
def one(place):
    """Trained by one process with the whole batch."""
    return call(
        'train', 'one.py', '--work-dir', 'one', '--cfg-options', 'param_scheduler.0.end=2',
        cwd=place,
    )  # fmt: skip


@pytest.fixture(scope='module')
def two(place):
    """Trained by two processes with half the batch each."""
    return run(
        TOOLS / 'dist_train.sh', 'two.py', 2, '--work-dir', 'two',
        '--cfg-options', 'param_scheduler.0.end=2', cwd=place,
    )  # fmt: skip


def test_the_log_begins_with_the_run(one, place):
    """Config, environment, order of hooks and options of weights lie in files."""
    before = one[: one.index('Epoch(train)')].splitlines()
    assert len(before) < 15, '\n'.join(before)
    assert 'WARNING' not in one
    (details,) = (place / 'one').glob('*/details.txt')
    text = details.read_text(encoding='utf-8')
    for kept in ('System environment', 'before_train_iter', 'paramwise_options -- '):
        assert kept in text and kept not in one
    assert (
        f'Environment, order of hooks and options of weights: {details.relative_to(place)}' in one
    )
    assert 'Config: one/one.py' in one
    assert Config.fromfile(place / 'one' / 'one.py').train_cfg.max_epochs == 2


def test_the_log_ends_with_the_next_command(one, place):
    *_, saved, test, export = [line.split(' - INFO - ')[1] for line in one.splitlines()[-3:]]
    assert saved == 'Last checkpoint: one/epoch_2.pth'
    _, tool, *arguments = shlex.split(test.split(':', 1)[1])
    assert Path(tool) == TOOLS / 'test.py'
    assert 'accuracy/top1' in call('test', *arguments, cwd=place)
    _, tool, *arguments = shlex.split(export.split(':', 1)[1])
    assert Path(tool) == TOOLS / 'export_student.py'
    call('export_student', *arguments, cwd=place)
    assert (place / 'one' / 'student.pth').is_file()


def test_log_shows_what_is_going_on(one, place):
    for shown in ('eta: ', 'loss_base: ', 'loss_deit: ', 'loss_cskd: ', 'fusion_weight: '):
        assert shown in one, shown
    assert 'agreement: ' in one
    scalars = next((place / 'one').glob('*/vis_data/scalars.json')).read_text().splitlines()
    logged = [json.loads(line) for line in scalars]
    weights = [line['fusion_weight'] for line in logged if 'fusion_weight' in line]
    # Six iterations an epoch, two epochs; logged after every second iteration.
    assert weights == pytest.approx([np.cos(np.pi * i / 24) for i in (1, 3, 5, 7, 9, 11)])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((place / 'one').glob('*/vis_data/events*'))))
    events.Reload()
    assert {'fusion_weight', 'loss_cskd', 'agreement', 'accuracy/top1'} <= set(
        events.Tags()['scalars']
    )


@pytest.mark.slow
def test_two_processes_train_as_one(one, two, place):
    single, alone = losses(place / 'one')
    double, together = losses(place / 'two')
    assert (single, double) == (1, 2)
    assert len(alone) == len(together) == 12
    for step, (a, b) in enumerate(zip(alone, together)):
        for name in ('loss', 'loss_base', 'loss_deit', 'loss_cskd'):
            assert a[name] == pytest.approx(b[name], rel=2e-4), (step, name)
    # Not for want of training: the weights moved, and to the same place.
    assert alone[0]['loss'] != pytest.approx(alone[-1]['loss'], rel=1e-3)
    a, b = (torch.load(place / name / 'epoch_2.pth')['state_dict'] for name in ('one', 'two'))
    assert set(a) == set(b)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=2e-4, msg=name)


def test_checkpoint_holds_the_student_alone(one, place):
    saved = torch.load(place / 'one' / 'epoch_2.pth')
    assert saved['state_dict'] and all(k.startswith('architecture.') for k in saved['state_dict'])


def test_resume(one, place):
    """A run that goes on from the first epoch ends as the unbroken one, fusion weight included."""
    work_dir = place / 'resumed'
    work_dir.mkdir()
    log = call(
        'train', 'one.py', '--work-dir', 'resumed', '--resume', place / 'one' / 'epoch_1.pth',
        '--cfg-options', 'param_scheduler.0.end=2', 'randomness.seed=0', cwd=place,
    )  # fmt: skip
    assert 'resumed epoch: 1, iter: 6' in log
    whole, rest = losses(place / 'one')[1], losses(work_dir)[1]
    assert len(rest) == 6
    for a, b in zip(whole[6:], rest):
        assert b['loss'] == pytest.approx(a['loss'], rel=1e-5)


def reported(log, name):
    (line,) = (line for line in log.splitlines() if line.startswith(f'{name} '))
    words = line.split()
    return {key.rstrip(':'): float(value) for key, value in zip(words[1::2], words[2::2])}


def evaluated(log):
    """What tools/test.py prints of both models."""
    return {name: reported(log, name) for name in ('student', 'teacher')}


@pytest.fixture(scope='module')
def tested(one, place):
    """What is printed by one process, which also writes out.json."""
    arguments = ('two.py', 'one/epoch_2.pth', '--teacher', '--out', 'out.json')
    return evaluated(call('test', *arguments, cwd=place))


@pytest.mark.slow
def test_two_processes_evaluate_as_one(tested, place):
    log = run(TOOLS / 'dist_test.sh', 'two.py', 'one/epoch_2.pth', 2, '--teacher', cwd=place)
    assert evaluated(log) == tested


def test_evaluation(tested, place):
    """It agrees with a plain loop over the test images."""
    metrics = json.loads((place / 'out.json').read_text())
    cfg = Config.fromfile(place / 'two.py', import_custom_modules=False)
    models = dict(
        student=launch.build_student(cfg, str(place / 'one' / 'epoch_2.pth')),
        teacher=launch.build_teacher(cfg),
    )
    from mmpretrain.registry import DATASETS

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    items = [dataset[i] for i in range(len(dataset))]
    labels = torch.cat([item['data_samples'].gt_label for item in items])
    images = torch.stack([item['inputs'] for item in items])
    for name, model in models.items():
        model.eval()
        with torch.no_grad():
            scores = model(model.data_preprocessor(dict(inputs=images))['inputs'])
        top5 = scores.topk(5).indices
        expected = {
            'accuracy/top1': 100 * (top5[:, 0] == labels).float().mean().item(),
            'accuracy/top5': 100 * (top5 == labels[:, None]).any(1).float().mean().item(),
        }
        assert metrics[name] == pytest.approx(expected, abs=1e-3)
        assert tested[name] == pytest.approx(expected, abs=0.006)


def test_amp_and_scaled_learning_rate(place):
    log = call(
        'train', 'one.py', '--work-dir', 'amp', '--amp',
        '--auto-scale-lr', '--no-validate', '--cfg-options', 'auto_scale_lr.base_batch_size=32',
        'train_cfg.max_epochs=1', 'param_scheduler=None', cwd=place,
    )  # fmt: skip
    assert 'accuracy' not in log
    assert 'lr: 2.5000e-04' in log  # 1e-3 × 8 ÷ 32
    cfg = Config.fromfile(next((place / 'amp').glob('*.py')), import_custom_modules=False)
    assert cfg.optim_wrapper.type == 'mmrazor.DeviceAmpOptimWrapper'
    assert 'loss_scaler' in torch.load(place / 'amp' / 'epoch_1.pth')['optimizer']


@pytest.mark.parametrize(
    'flag, key', [('--amp', 'optim_wrapper'), ('--auto-scale-lr', 'auto_scale_lr')]
)
def test_a_flag_without_its_part(place, flag, key):
    (place / 'without.py').write_text(f"_base_ = './one.py'\n{key} = None\n")
    log = call('train', 'without.py', '--work-dir', 'none', flag, cwd=place, fails=True)
    assert f'ValueError: {flag} needs {key}' in log


@pytest.mark.slow
def test_error_reaches_the_user(place):
    """Before any training, and as the last line."""
    log = run(
        sys.executable, TOOLS / 'train.py', 'one.py', '--work-dir', 'none', '--cfg-options',
        'model.teacher_ckpt=nowhere.pth', cwd=place, fails=True,
    )  # fmt: skip
    assert 'model.teacher_ckpt="nowhere.pth" cannot be read' in log.strip().splitlines()[-1]
    assert 'Epoch(train)' not in log


class Arguments:
    """What the command line would give."""

    work_dir, cfg_options, launcher, local_rank = None, None, 'none', 0

    def __init__(self, config, **options):
        self.config = str(config)
        self.__dict__.update(options)


def test_missing_config():
    with pytest.raises(
        ValueError, match=r'cskd_deit_s.*is no file\. Nearest: .*cskd_deit-s_regnety'
    ):
        launch.load_config(Arguments(ROOT / 'configs' / 'cskd_deit_s_regnety.py'), [])


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
def test_missing_dataset(loader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = rf'{loader}\.dataset\.data_root="data/imagenet" does not exist'
    with pytest.raises(ValueError, match=message):
        launch.load_config(Arguments(ROOT / 'configs' / 'cskd_deit-s_regnety.py'), [loader])


def test_loaders_are_filled_after_the_command_line():
    """Workers that do not exist are not asked to persist."""
    config = ROOT / 'configs' / 'demo' / 'none_vit.py'
    for workers in (0, 2):
        options = {'train_dataloader.num_workers': workers}
        cfg = launch.load_config(Arguments(config, cfg_options=options), ['train_dataloader'])
        assert cfg.train_dataloader.persistent_workers == (workers > 0)
        assert cfg.train_dataloader.collate_fn.type == 'default_collate'


def test_any_default_hook_can_be_left_out(tmp_path):
    """By None, as docs/configuring.md says: those of this package and MMEngine's own."""
    config = ROOT / 'configs' / 'demo' / 'none_vit.py'
    names = list(Config.fromfile(config).default_hooks)
    own = {'data_check', 'exact_resume', 'preemption', 'finite_loss'}
    assert own < set(names)
    options = {f'default_hooks.{name}': None for name in (*own, 'timer')}
    cfg = launch.load_config(Arguments(config, cfg_options=options), ['train_dataloader'])
    cfg.work_dir, cfg.experiment_name = str(tmp_path), tmp_path.name
    kinds = {type(hook).__name__ for hook in build_runner(cfg).hooks}
    left_out = {'DataCheckHook', 'ExactResumeHook', 'PreemptionHook', 'FiniteLossHook'}
    assert not kinds & {*left_out, 'IterTimerHook'} and 'AtomicCheckpointHook' in kinds


def test_work_dir_is_named_after_the_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = launch.load_config(Arguments(ROOT / 'configs' / 'demo' / 'none_vit.py'), [])
    assert cfg.work_dir == 'work_dirs/none_vit'


@pytest.mark.parametrize(
    'change, message',
    [
        ({'teacher_ckpt': None}, r'set model\.teacher_ckpt'),
        ({'teacher.head.num_classes': 12}, r'10 classes and the teacher 12'),
        ({'distiller.teacher_recorders.response.source': 'nek'}, r'source: "nek".*Nearest: "neck"'),
        ({'architecture.source': 'backbone.ln'}, r'"backbone\.ln1"'),
        ({'distiller.distill_losses.loss_cskd.temperature': -1}, r'CSKDLoss\.temperature is -1'),
        ({'distiller.distill_losses.loss_deit.mode': 'sfot'}, r"DeiTLoss\.mode is 'sfot'"),
        ({'architecture.vote': ['patches']}, r'architecture\.vote.*Nearest: "patch"'),
        (
            {
                'architecture': dict(
                    _delete_=True,
                    _scope_='mmpretrain',
                    type='ImageClassifier',
                    backbone=dict(type='ResNet_CIFAR', depth=18),
                    neck=dict(type='GlobalAveragePooling'),
                    head=dict(type='LinearClsHead', num_classes=10, in_channels=512),
                )
            },
            r'ResNet_CIFAR with LinearClsHead\) has no distillation head',
        ),
    ],
)
def test_mistakes_are_refused_when_the_run_is_built(change, message, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py')
    cfg.model.update(teacher_ckpt=None, random_teacher='teacher_ckpt' not in change)
    architecture = change.pop('architecture', None)
    cfg.merge_from_dict({f'model.{key}': value for key, value in change.items()})
    if architecture:
        architecture.pop('_delete_')
        cfg.model.architecture = architecture
    cfg.work_dir, cfg.experiment_name = str(tmp_path), tmp_path.name
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg)


def test_a_config_without_a_scope_is_mmpretrains(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'none_vit.py')
    cfg._cfg_dict.pop('default_scope')
    cfg.dump(tmp_path / 'config.py')
    assert 'default_scope' not in Config.fromfile(tmp_path / 'config.py')
    cfg = launch.load_config(Arguments(tmp_path / 'config.py'), ['train_dataloader'])
    assert cfg.default_scope == 'mmpretrain'
    cfg.work_dir, cfg.experiment_name = str(tmp_path), tmp_path.name
    assert type(Runner.from_cfg(cfg).model).__name__ == 'ImageClassifier'


def test_unknown_schedule_is_refused_when_the_run_is_built(tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py')
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    cfg.custom_hooks[0].schedule = 'cosine'
    cfg.work_dir, cfg.experiment_name = str(tmp_path), tmp_path.name
    with pytest.raises(ValueError, match=r'CKFHook\.schedule: type "cosine" .*Nearest: .*"cos"'):
        Runner.from_cfg(cfg)


@pytest.mark.parametrize(
    'config, message',
    [
        ('none_vit.py', r'none_vit\.py" distils nothing'),
        ('cskd_vit_resnet18.py', r'no weights .*: set model\.teacher_ckpt'),
    ],
)
def test_no_teacher_to_evaluate(config, message):
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / config)
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = None
    with pytest.raises(ValueError, match=message):
        launch.build_teacher(cfg)


def test_checkpoint_of_another_student(place):
    cfg = Config.fromfile(ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py')
    checkpoint = place / 'teacher' / 'epoch_2.pth'
    with pytest.raises(ValueError, match=r'CHECKPOINT=.*lacks .* stay random'):
        launch.build_student(cfg, str(checkpoint))


def test_slurm(tmp_path):
    """What srun is asked to start, by an srun that only tells."""
    srun = tmp_path / 'srun'
    srun.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = dict(
        os.environ, PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='4', SRUN_ARGS='--time 60'
    )
    script = TOOLS / 'slurm_train.sh'
    command = [script, 'gpu', 'cskd', 'config.py', '--amp']
    told = subprocess.check_output(command, env=environment, text=True).splitlines()
    assert told[:4] == ['-p', 'gpu', '--job-name=cskd', '--gres=gpu:4']
    assert {'--ntasks=4', '--ntasks-per-node=4', '--cpus-per-task=5', '--time', '60'} < set(told)
    assert told[-4:] == ['config.py', '--launcher', 'slurm', '--amp']
    assert subprocess.run([script], env=environment, capture_output=True).returncode == 2
