"""Whole runs: they wait for nothing, resume to the last bit, and several processes do as one."""

import os
import sys
from pathlib import Path

import gpu_runs
import pytest
import torch
from fault_runs import final, runner, same
from mmengine.hooks import Hook
from tool_runs import losses, run

SCRIPT = Path(gpu_runs.__file__)
WATCHED = 20


class Strict(Hook):
    """From the second iteration on, an iteration that waits for the device is an error.

    MMPretrain's data preprocessor may wait: where it copies a batch to the device, and where Mixup
    and CutMix index it by numbers drawn on the CPU.
    """

    def __init__(self, set_mode, last=False):
        self.set_mode, self.last = set_mode, last
        self.priority = 100 if last else 0
        self.watched = 0

    def before_train(self, runner):
        if self.last:
            return
        preprocessor = runner.model.data_preprocessor
        forward = preprocessor.forward

        def loosely(*args, **kwargs):
            self.set_mode('default')
            try:
                return forward(*args, **kwargs)
            finally:
                self.set_mode('error' if 0 < runner.iter <= WATCHED else 'default')

        preprocessor.forward = loosely

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.last and 0 < runner.iter <= WATCHED:
            self.set_mode('error')
            self.watched += 1

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.last:
            self.set_mode('default')


def test_no_iteration_waits(device, tmp_path, monkeypatch):
    """20 iterations of the runner with all hooks; on the CPU only that they were watched."""
    mode = ['default']
    set_mode = (
        torch.cuda.set_sync_debug_mode if device == 'cuda' else (lambda new: mode.append(new))
    )
    built = runner(
        tmp_path, model=gpu_runs.mixing_model(), ema=True, optim=gpu_runs.MIXED,
        dataset=dict(type='Pictures', length=2 * WATCHED + 4), epochs=1,
    )  # fmt: skip
    seen = []
    built.model.student.register_forward_pre_hook(
        lambda *_: seen.append(
            mode[-1] == 'error' if device == 'cpu' else torch.cuda.get_sync_debug_mode() == 2
        )
    )
    first, last = Strict(set_mode), Strict(set_mode, last=True)
    built.register_hook(first, 0)
    built.register_hook(last, 100)
    built.train()
    assert first.watched == WATCHED
    assert seen == [False] + [True] * WATCHED + [False]


def start(work_dir, *arguments, processes=0, code=0):
    """A run in a process of its own, or in several under torchrun; its exit code."""
    launch = ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}'] if processes else []
    command = [sys.executable, *launch, SCRIPT, work_dir, *arguments]
    return run(*command, cwd=SCRIPT.parents[2], fails=code != 0)


def most(device):
    """Processes: one for each GPU, two on the CPU."""
    return torch.cuda.device_count() if device == 'cuda' else 2


@pytest.mark.slow
def test_a_resumed_run_is_the_same(device, tmp_path):
    """To the last bit, by deterministic algorithms, after SIGTERM in the middle of an epoch."""
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    start(whole, '--mix')
    start(parts, '--mix', '--preempted-at', 8, code=143)
    assert (parts / 'preempted_iter_9.pth').is_file()
    start(parts, '--mix', '--resume')
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert same(final(parts)[part], final(whole)[part]) is None


@pytest.mark.slow
def test_processes_do_as_one(device, tmp_path):
    """NCCL, or gloo on the CPU: one process to the last bit, several as one with their batches."""
    alone, group = tmp_path / 'alone', tmp_path / 'group'
    start(alone)
    start(group, processes=1)
    assert same(final(group)['state_dict'], final(alone)['state_dict']) is None
    count = most(device)
    if count > 1:
        one, several = tmp_path / 'one', tmp_path / 'several'
        start(one, '--batch', 6)
        start(several, '--batch', 6 // count, processes=count)
        (_, wanted), (ranks, found) = losses(one), losses(several)
        assert ranks == count and len(found) == len(wanted) == 6
        for mine, theirs in zip(found, wanted):
            assert mine['loss_base'] == pytest.approx(theirs['loss_base'], rel=1e-4)


@pytest.mark.slow
def test_shards_are_the_whole(device, tmp_path):
    """FSDP over all GPUs, and two processes on the CPU: losses and weights as without."""
    count, whole, sharded = most(device), tmp_path / 'whole', tmp_path / 'sharded'
    start(whole, processes=count)
    start(sharded, '--sharded', processes=count)
    (_, wanted), (ranks, found) = losses(whole), losses(sharded)
    assert ranks == count and len(found) == len(wanted)
    for mine, theirs in zip(found, wanted):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights, expected = final(sharded)['state_dict'], final(whole)['state_dict']
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=1e-5)


def test_processes_see_what_the_test_runs_on(device):
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES') == ''
    assert hidden == (device == 'cpu')
