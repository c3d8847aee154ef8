"""Faults of processes: killed, hung, without work, in the way of another. Expected: all of them end."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_runs import At, Pictures, ended, forked, runner, start, together

from mmcskd.atomic_checkpoint_hook import training_fault

ROOT = Path(__file__).parents[2]
LAUNCHED = os.environ.get('MMCSKD_FAULTS') == 'all'


def test_hung_peer(tmp_path):
    """It is waited for as long as the config says."""

    def train(rank):
        hang = At(4, lambda run: time.sleep(40), 'before_train_iter')
        env = dict(dist_cfg=dict(timeout=3))
        runner(tmp_path, *([hang] if rank == 1 else []), batch=1, env_cfg=env).train()

    begin = time.monotonic()
    codes = together(train, timeout=7)
    assert time.monotonic() - begin < 20
    # The hung one is ended by whoever started it, here its alarm.
    assert codes == [1, 128 + signal.SIGALRM]


@pytest.mark.parametrize('length, batch', [(13, 2), (3, 2), (1, 1)])
def test_uneven_last_batch(tmp_path, length, batch):
    """The sampler fills up, so each process makes the same number of steps."""

    def train(rank):
        run = runner(tmp_path, batch=batch, epochs=2, dataset=dict(type='Pictures', length=length))
        run.train()
        (tmp_path / f'steps_{rank}').write_text(f'{run.iter}')

    assert together(train) == [0, 0]
    steps = [int((tmp_path / f'steps_{rank}').read_text()) for rank in (0, 1)]
    assert steps[0] == steps[1] == 2 * math.ceil(math.ceil(length / 2) / batch)


def refusal(tmp_path, processes, **options):
    def train(rank):
        try:
            runner(tmp_path, **options).train()
        except ValueError as error:
            (tmp_path / f'error_{rank}').write_text(str(error))
            raise SystemExit(7) from error

    assert together(train, processes, timeout=30) == [7] * processes
    return (tmp_path / 'error_0').read_text()


def test_empty_shard(tmp_path):
    """More processes than images: refused on all of them, instead of a wait without end."""
    message = refusal(
        tmp_path, 2, batch=1, dataset=dict(type='Pictures', length=1),
        sampler=dict(type='DefaultSampler', round_up=False),
    )  # fmt: skip
    assert message.startswith('train_dataloader has 1 / 0 batches') and 'round_up=True' in message


def test_uneven_shards(tmp_path):
    message = refusal(
        tmp_path, 2, batch=1, dataset=dict(type='Pictures', length=5),
        sampler=dict(type='DefaultSampler', round_up=False),
    )  # fmt: skip
    assert message.startswith('train_dataloader has 3 / 2 batches')


def test_no_batch_at_all(tmp_path):
    """MMEngine would run through its epochs without a step."""
    from torch.utils.data import DataLoader

    run = runner(tmp_path)
    data = Pictures(length=1)
    run._train_dataloader = DataLoader(data, batch_size=2, drop_last=True)
    with pytest.raises(ValueError, match=r'has 0 batches .*1 images at batch size 2'):
        run.train()


def test_workers_outlive_the_signal(tmp_path):
    """SIGTERM to the whole group, as a launcher sends it: the checkpoint is still made."""

    def train():
        os.setpgrp()

        def ask(run):
            os.killpg(0, signal.SIGTERM)
            time.sleep(0.3)

        runner(tmp_path, At(9, ask, 'before_train_iter'), workers=2).train()

    assert ended(start(train)) == 143
    assert training_fault((tmp_path / 'last_checkpoint').read_text()) is None
    assert (tmp_path / 'last_checkpoint').read_text().endswith('preempted_iter_10.pth')
    assert forked(lambda: runner(tmp_path, workers=2, resume=True).train()) == 0


def launched(place, port, *arguments, **kwargs):
    environment = dict(
        os.environ, PORT=str(port), PYTHON=sys.executable, PYTHONWARNINGS='ignore',
        OMP_NUM_THREADS='1',
    )  # fmt: skip
    command = [ROOT / 'tools' / 'dist_train.sh', ROOT / 'configs' / 'demo' / 'none_vit.py', '2']
    command += ['--work-dir', place / 'work', '--no-validate', *arguments]
    return subprocess.Popen(
        list(map(str, command)), cwd=place, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True, **kwargs,
    )  # fmt: skip


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def belonging(place):
    """Process numbers of the training in a directory, by their command line."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            command = (entry / 'cmdline').read_bytes().decode(errors='replace').split('\0')
            state = (entry / 'stat').read_text().rsplit(')', 1)[1].split()[0]
        except OSError:
            continue
        if state != 'Z' and str(place / 'work') in command:
            found.append((int(entry.name), command))
    return found


@pytest.mark.skipif(not Path('/proc/self/cmdline').exists(), reason='looks for processes in /proc')
@pytest.mark.skipif(not LAUNCHED, reason='starts the launcher: MMCSKD_FAULTS=all')
@pytest.mark.parametrize('fault', ['rank killed', 'SIGTERM'])
def test_launched(tmp_path, fault):
    """Under tools/dist_train.sh: all end within 30 s, none stays, the run resumes."""
    run = launched(tmp_path, free_port(), '--cfg-options', 'default_hooks.logger.interval=1')
    for line in run.stdout:
        if 'Epoch(train)' in line:
            break
    if fault == 'SIGTERM':
        os.kill(run.pid, signal.SIGTERM)
    else:
        workers = [
            pid for pid, command in belonging(tmp_path) if 'torch.distributed.run' not in command
        ]
        os.kill(workers[-1], signal.SIGKILL)
    begin = time.monotonic()
    log = run.communicate(timeout=60)[0]
    assert time.monotonic() - begin < 35, log[-3000:]
    assert run.returncode != 0
    assert belonging(tmp_path) == []
    if fault == 'SIGTERM':
        pointer = (tmp_path / 'work' / 'last_checkpoint').read_text()
        assert 'preempted_iter_' in pointer and training_fault(pointer) is None
        again = launched(
            tmp_path, free_port(), '--resume', 'auto', '--cfg-options', 'train_cfg.max_epochs=1',
            'default_hooks.logger.interval=1', 'param_scheduler=None',
        )  # fmt: skip
        for line in again.stdout:
            if 'Epoch(train)' in line:
                break
        assert 'Epoch(train)' in line
        os.kill(again.pid, signal.SIGTERM)
        again.communicate(timeout=60)


@pytest.mark.skipif(not LAUNCHED, reason='starts the launcher: MMCSKD_FAULTS=all')
def test_busy_port(tmp_path):
    """Said by the launcher, before anything is trained."""
    with socket.socket() as server:
        server.bind(('0.0.0.0', 0))
        server.listen()
        run = launched(tmp_path, server.getsockname()[1])
        log = run.communicate(timeout=120)[0]
    assert run.returncode != 0 and 'EADDRINUSE' in log
    assert not (tmp_path / 'work').exists() and belonging(tmp_path) == []
