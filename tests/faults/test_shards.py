"""Faults of a run whose student lies in shards. Expected: as without, all processes together."""

import os
import signal

import pytest
import torch
from fault_runs import At, final, runner, same, together
from packaging.version import Version

from mmcskd.app.launch import choose_checkpoint
from mmcskd.runs.resume_choice import training_fault

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.cuda.is_available() and Version(torch.__version__) < Version('2.1'),
        reason='torch < 2.1 shards no model on a CPU',
    ),
]
SHARDS = dict(type='StudentFSDPStrategy', wrap=['TransformerEncoderLayer'])


def train(place, *hooks, **options):
    run = runner(place, *hooks, batch=1, strategy=dict(SHARDS), **options)
    choose_checkpoint(run)
    run.train()


def test_signal_and_damage(tmp_path):
    """SIGTERM to one process: both save and end, the resumed run is the same; a damaged file."""
    whole = tmp_path / 'whole'
    assert together(lambda rank: train(whole)) == [0, 0]

    def preempted(rank):
        signals = At(8, lambda _: os.kill(os.getpid(), signal.SIGTERM), 'before_train_iter')
        train(tmp_path, *([signals] if rank == 1 else []))

    assert together(preempted) == [143, 143]
    pointer = (tmp_path / 'last_checkpoint').read_text()
    assert pointer.endswith('preempted_iter_10.pth') and training_fault(pointer) is None
    assert together(lambda rank: train(tmp_path, resume=True)) == [0, 0]
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(final(tmp_path)[part], final(whole)[part]) is None

    newest = bytearray((tmp_path / 'epoch_3.pth').read_bytes())
    newest[len(newest) // 2] ^= 1
    (tmp_path / 'epoch_3.pth').write_bytes(newest)

    def goes_on(rank):
        begins = At(12, lambda run: (tmp_path / f'begins_{rank}').touch(), 'before_train')
        train(tmp_path, begins, resume=True)

    assert together(goes_on) == [0, 0]
    assert len(list(tmp_path.glob('begins_*'))) == 2
    assert training_fault(tmp_path / 'epoch_3.pth') is None
    assert same(final(tmp_path)['state_dict'], final(whole)['state_dict']) is None
