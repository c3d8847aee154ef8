"""Fault: a run that grows. Expected: after many iterations it holds what it held after few."""

import gc
import os

import pytest
import torch
from fault_runs import At, forked, runner
from mmpretrain.registry import MODELS
from models import ARCH, NUM_CLASSES, algorithm_config, student_config
from torch import nn

from mmcskd.runs import deferred_runtime_info_hook

pytestmark = pytest.mark.slow
LONG = os.environ.get('MMCSKD_FAULTS') == 'all'
EARLY, LATE = (200, 2000) if LONG else (20, 200)


@MODELS.register_module()
class OneConvolution(nn.Module):
    """A backbone that is done before the hooks are."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, images):
        return (self.layer(images),)


def tiny():
    student = student_config()
    student['backbone'].update(arch=dict(ARCH, num_layers=1), patch_size=8)
    teacher = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='OneConvolution'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=8),
    )
    return algorithm_config(architecture=student, teacher=teacher)


def held():
    """Tensors in number, and the bytes they share out among them."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
    parts = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in found}
    return len(found), sum(parts.values())


def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def grown(place):
    """Tensors, their bytes and megabytes of memory that are there late and were not there early."""
    seen = []
    # What earlier tests left in this process is no part of the run. Tensors without memory, of a
    # model that was compiled, cannot even be looked at.
    gc.collect()
    gc.freeze()

    def look(run):
        seen.append((*held(), resident() if os.path.exists('/proc') else 0))

    def records(run):
        for side in ('teacher_recorders', 'student_recorders'):
            for recorder in getattr(run.model.distiller, side).recorders.values():
                assert len(recorder.data_buffer) == 0

    run = runner(
        place, At(EARLY, look), At(LATE, look), At(LATE - 1, records), model=tiny(),
        # Losses are held until they are logged, here in both iterations that are looked at.
        iterations=LATE + 1, log=10, checkpoint=dict(interval=10**6), ema=True,
    )  # fmt: skip
    run.train()
    return [late - early for early, late in zip(*seen)]


def test_nothing_piles_up(tmp_path):
    """As many tensors, and not a byte more in them."""

    def train():
        tensors, size, memory = grown(tmp_path)
        assert (tensors, size) == (0, 0) and memory < 10, (tensors, size, memory)

    assert forked(train, timeout=600 if LONG else 200) == 0


def test_losses_are_not_held_for_ever(tmp_path, monkeypatch):
    """In a loop of iterations without a LoggerHook nobody asks for them before the end."""
    monkeypatch.setattr(deferred_runtime_info_hook, 'MOST', 5)
    run = runner(
        tmp_path, iterations=18,
        default_hooks=dict(
            runtime_info=dict(type='mmrazor.DeferredRuntimeInfoHook'), logger=None, checkpoint=None
        ),
    )  # fmt: skip
    hook = next(h for h in run.hooks if type(h).__name__ == 'DeferredRuntimeInfoHook')
    waiting = []
    look = At(0, None)
    look.after_train_iter = lambda *_, **__: waiting.append(len(hook._waiting))
    run.register_hook(look, priority='LOWEST')
    run.train()
    assert len(waiting) == 18 and max(waiting) == 4
    assert len(run.message_hub.get_scalar('train/loss').data[0]) == 18
