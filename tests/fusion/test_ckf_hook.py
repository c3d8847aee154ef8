"""The fusion weight in real runs of MMEngine's runner."""

import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from models import NUM_CLASSES, algorithm_config, distiller_config
from torch.utils.data import Dataset

from mmcskd import CKFHook


class Noise(Dataset):
    """Random images with labels."""

    metainfo = {'classes': list(map(str, range(NUM_CLASSES)))}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        from mmpretrain.structures import DataSample

        image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index))
        return dict(inputs=image, data_samples=DataSample().set_gt_label(index % NUM_CLASSES))


class Watch(Hook):
    """Notes the weight that each training step used."""

    priority = 'LOWEST'

    def __init__(self):
        self.weights = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = runner.model.distiller.distill_losses['loss_cskd']
        assert runner.message_hub.get_scalar('train/fusion_weight').current() == loss.fusion_weight
        self.weights.append(loss.fusion_weight)


def run(tmp_path, hook, train_cfg, model=None, watch=None, **kwargs):
    """4 iterations an epoch."""
    watch = watch or Watch()
    options = dict(
        model=model or algorithm_config(),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=2, dataset=Noise(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=train_cfg,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=2)),
        custom_hooks=([dict(type='mmrazor.CKFHook', **hook)] if hook is not None else []) + [watch],
        default_scope='mmpretrain',
        experiment_name=f'{tmp_path.name}_{id(watch)}',
    )
    options.update(kwargs)
    Runner(**options).train()
    return watch.weights


EPOCHS = dict(by_epoch=True, max_epochs=3)
ITERATIONS = dict(by_epoch=False, max_iters=12)
LINEAR = [1 - i / 12 for i in range(12)]


@pytest.mark.parametrize(
    'hook, train_cfg, expected',
    [
        (dict(), EPOCHS, LINEAR),
        (dict(), ITERATIONS, LINEAR),
        (dict(schedule='x2'), EPOCHS, [w**2 for w in LINEAR]),
        (dict(schedule='cos'), ITERATIONS, [math.cos(math.pi * i / 24) for i in range(12)]),
        (dict(schedule=dict(type='constant', value=0.4)), EPOCHS, [0.4] * 12),
        (dict(schedule=lambda p: p), EPOCHS, [i / 12 for i in range(12)]),
        (dict(by_epoch=True), EPOCHS, [1.0] * 4 + [2 / 3] * 4 + [1 / 3] * 4),
        (dict(begin=2, end=6), EPOCHS, [1, 1, 1, 0.75, 0.5, 0.25] + [0] * 6),
        (dict(begin=1, end=2, by_epoch=True), EPOCHS, [1.0] * 8 + [0.0] * 4),
    ],
)
def test_weight_of_each_iteration(tmp_path, hook, train_cfg, expected):
    assert run(tmp_path, hook, train_cfg) == pytest.approx(expected, abs=1e-12)


def test_gradient_accumulation(tmp_path):
    """Progress counts batches, so the weight falls as it does without accumulation."""
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01), accumulative_counts=3)
    assert run(tmp_path, dict(), EPOCHS, optim_wrapper=wrapper) == pytest.approx(LINEAR)


@pytest.mark.parametrize(
    'train_cfg, checkpoint, done',
    [
        (EPOCHS, dict(interval=1), ('epoch_1.pth', 4)),
        (ITERATIONS, dict(interval=5, by_epoch=False), ('iter_5.pth', 5)),
    ],
)
def test_resume(tmp_path, train_cfg, checkpoint, done):
    name, iterations = done
    hooks = dict(checkpoint=dict(type='CheckpointHook', max_keep_ckpts=-1, **checkpoint))
    whole = run(tmp_path, dict(), train_cfg, default_hooks=hooks)
    resumed = run(tmp_path, dict(), train_cfg, load_from=str(tmp_path / name), resume=True)
    assert resumed == pytest.approx(whole[iterations:], abs=1e-12)


def test_logged(tmp_path, capsys):
    run(
        tmp_path,
        dict(),
        EPOCHS,
        visualizer=dict(
            type='UniversalVisualizer', vis_backends=[dict(type='TensorboardVisBackend')]
        ),
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = tmp_path.rglob('events.out*')
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    logged = accumulator.Scalars('fusion_weight')
    # At the end of every second iteration.
    assert [s.value for s in logged] == pytest.approx(LINEAR[1::2], abs=1e-6)
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'fusion_weight: 0.9167' in log
    assert 'loss_cskd: ' in log and 'loss_deit: ' in log and 'loss_base: ' in log


def test_stock_algorithm_is_steered(tmp_path):
    model = algorithm_config(type='SingleTeacherDistill')
    del model['random_teacher']
    assert run(tmp_path, dict(), EPOCHS, model=model) == pytest.approx(LINEAR)


def test_no_loss_to_steer(tmp_path):
    distiller = distiller_config()
    del distiller['distill_losses']['loss_cskd'], distiller['loss_forward_mappings']['loss_cskd']
    with pytest.raises(ValueError, match=r'no CSKDLoss in the model.*custom_hooks'):
        run(tmp_path, dict(), EPOCHS, model=algorithm_config(distiller=distiller))


def test_loss_without_hook(tmp_path):
    with pytest.raises(ValueError, match='mmrazor.CKFHook.*custom_hooks'):
        run(tmp_path, None, EPOCHS)


def test_epochs_of_a_loop_without_epochs(tmp_path):
    with pytest.raises(ValueError, match=r'CKFHook\.by_epoch=True.*train_cfg\.by_epoch'):
        run(tmp_path, dict(by_epoch=True), ITERATIONS)


def test_begin_after_the_end(tmp_path):
    with pytest.raises(ValueError, match=r'CKFHook\.begin=12 is not before the end.*12 iterations'):
        run(tmp_path, dict(begin=12), EPOCHS)


@pytest.mark.parametrize('limits', [dict(begin=-1), dict(begin=3, end=3), dict(end=0)])
def test_empty_range(limits):
    with pytest.raises(ValueError, match=r'CKFHook: begin=.*expected 0 <= begin < end'):
        CKFHook(**limits)


def test_schedule_out_of_range(tmp_path):
    with pytest.raises(ValueError, match=r'fusion weight is 2\.0.*CKFHook\.schedule'):
        run(tmp_path, dict(schedule=lambda p: 2.0), EPOCHS)
