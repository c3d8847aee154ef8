"""Fault: a run that grows. Expected: after many iterations it holds what it held after few."""

import gc
import os

import torch
from fault_runs import At, forked, runner

from mmcskd.training import deferred_runtime_info_hook

LONG = os.environ.get('MMCSKD_FAULTS') == 'all'
EARLY, LATE = (200, 2000) if LONG else (30, 150)


def held():
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def test_nothing_piles_up(tmp_path):
    """Tensors are the same in number; memory, in the long form, within a few MB."""

    def train():
        early, late = [], []

        def look(into):
            return lambda run: into.extend([held(), resident() if os.path.exists('/proc') else 0])

        def records(run):
            for side in ('teacher_recorders', 'student_recorders'):
                for recorder in getattr(run.model.distiller, side).recorders.values():
                    assert len(recorder.data_buffer) == 0

        run = runner(
            tmp_path,
            At(EARLY, look(early)), At(LATE, look(late)), At(LATE - 1, records),
            # Losses are held until they are logged, here in both iterations that are looked at.
            iterations=LATE + 1, log=10, checkpoint=dict(interval=10**6), ema=True,
        )  # fmt: skip
        run.train()
        assert abs(late[0] - early[0]) <= 5, (early, late)
        assert late[1] - early[1] < 20, (early, late)

    assert forked(train, timeout=300) == 0


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
