"""Faults of processes: killed, hung, without work, in the way of another. Expected: all end."""

import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fault_runs import At, Pictures, ended, forked, runner, start, together

from mmcskd.runs.resume_choice import training_fault

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_hung_peer(tmp_path):
    """It is waited for as long as the config says."""

    def train(rank):
        hang = At(4, lambda run: time.sleep(90), 'before_train_iter')
        env = dict(dist_cfg=dict(timeout=3))
        runner(tmp_path, *([hang] if rank == 1 else []), batch=1, env_cfg=env).train()

    codes = together(train, timeout=25)
    # The hung one is ended by whoever started it, here its alarm.
    assert codes == [1, 128 + signal.SIGALRM]


@pytest.mark.slow
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


@pytest.mark.slow
def test_empty_shard(tmp_path):
    """More processes than images: refused on all of them, instead of a wait without end."""
    message = refusal(
        tmp_path, 2, batch=1, dataset=dict(type='Pictures', length=1),
        sampler=dict(type='DefaultSampler', round_up=False),
    )  # fmt: skip
    assert message.startswith('train_dataloader has 1 / 0 batches') and 'round_up=True' in message


@pytest.mark.slow
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


def children():
    """Process numbers of the data workers of this process."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):
            state, parent = stat.read_text().rsplit(')', 1)[1].split()[:2]
            if int(parent) == os.getpid() and state != 'Z':
                found.append(int(stat.parent.name))
    return found


def from_outside(*numbers, number=signal.SIGTERM):
    """A signal by a process that is no parent of those that get it; a negative one is a group."""
    send = f'import os\nfor n in {numbers}: os.kill(n, {int(number)})'
    subprocess.run([sys.executable, '-c', send], start_new_session=True)
    time.sleep(0.3)


def preempted_with_workers(place, whom, number=signal.SIGTERM):
    """Of a training with data workers, persistent ones for validation as well; its exit code."""

    def train():
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def ask(run):
            workers = children()
            assert len(workers) == 4
            (place / 'workers').write_text(' '.join(map(str, workers)))
            everyone = [-os.getpgrp()] if whom == 'group' else [*workers, os.getpid()]
            from_outside(*everyone, number=number)

        validation = dict(
            val_dataloader=dict(
                batch_size=2, num_workers=2, persistent_workers=True,
                dataset=dict(type='Pictures', length=4),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_cfg=dict(), val_evaluator=dict(type='Accuracy'),
        )  # fmt: skip
        runner(place, At(9, ask, 'before_train_iter'), workers=2, **validation).train()

    return ended(start(train))


def gone(numbers, within):
    end = time.monotonic() + within
    while any(map(alive, numbers)) and time.monotonic() < end:
        time.sleep(0.2)
    return not any(map(alive, numbers))


def alive(number):
    try:
        return Path(f'/proc/{number}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


needs_proc = pytest.mark.skipif(
    not Path('/proc/self/cmdline').exists(), reason='looks for processes in /proc'
)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(
    'whom, number',
    [('group', signal.SIGTERM), ('every process', signal.SIGTERM), ('group', signal.SIGINT)],
)
def test_workers_outlive_the_signal(tmp_path, whom, number):
    """SIGTERM or Ctrl-C to all, as a launcher, Slurm or a terminal sends it: no worker is left."""
    assert preempted_with_workers(tmp_path, whom, number) == 128 + number
    assert training_fault((tmp_path / 'last_checkpoint').read_text()) is None
    assert (tmp_path / 'last_checkpoint').read_text().endswith('preempted_iter_10.pth')
    # They look for their parent every five seconds.
    assert gone([int(number) for number in (tmp_path / 'workers').read_text().split()], within=20)
    assert forked(lambda: runner(tmp_path, workers=2, resume=True).train()) == 0


@pytest.mark.slow
@needs_proc
def test_workers_need_their_shield(tmp_path, monkeypatch):
    """Without it the same signal ends them, and the run fails."""
    monkeypatch.setattr('mmcskd.runs.preemption_hook.shield_workers', lambda loop: None)
    assert preempted_with_workers(tmp_path, 'group') != 143
    assert not list(tmp_path.glob('preempted_*'))


WAITING = """
import sys, time
from types import SimpleNamespace
from torch.utils.data import DataLoader, Dataset
sys.path.insert(0, {folder!r})
from worker_signals import shield_workers

class Slow(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        time.sleep(100 * (index > 3))
        return index

loader = DataLoader(Slow(), num_workers=2, persistent_workers=True)
shield_workers(SimpleNamespace(dataloader=loader))
assert loader.worker_init_fn
batches = iter(loader)
print([int(next(batches)) for _ in range(4)], flush=True)
"""


@pytest.mark.slow
def test_end_of_a_process_ends_its_workers(tmp_path):
    """Also those in the middle of a file that does not come: the interpreter sends them SIGTERM."""
    text = WAITING.format(folder=str(ROOT / 'mmcskd' / 'runs'))
    done = subprocess.run(
        [sys.executable, '-c', text],
        capture_output=True, text=True, timeout=80,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == '[0, 1, 2, 3]\n', done.stderr[-2000:]


@contextmanager
def launched(place, port, *arguments):
    """A training by tools/dist_train.sh, of which nothing is left behind."""
    environment = dict(
        os.environ, PORT=str(port), PYTHON=sys.executable, PYTHONWARNINGS='ignore',
        OMP_NUM_THREADS='1',
    )  # fmt: skip
    command = [ROOT / 'tools' / 'dist_train.sh', ROOT / 'configs' / 'demo' / 'none_vit.py', '2']
    command += ['--work-dir', place / 'work', '--no-validate', *arguments]
    with subprocess.Popen(
        list(map(str, command)), cwd=place, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        try:
            yield run
        finally:
            for pid in belonging(place):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def belonging(place):
    """Processes of the training in a directory, by their command line: number to parent's."""
    found = {}
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            command = (entry / 'cmdline').read_bytes().decode(errors='replace').split('\0')
            state, parent = (entry / 'stat').read_text().rsplit(')', 1)[1].split()[:2]
        except OSError:
            continue
        if state != 'Z' and str(place / 'work') in command:
            found[int(entry.name)] = int(parent)
    return found


def all_end(run, place):
    """With a code other than 0, and no process stays."""
    run.communicate(timeout=120)
    assert run.returncode != 0
    assert not belonging(place)


def read_until(run, pattern):
    """Of what it logs; the match."""
    for line in run.stdout:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f'the run ended without "{pattern}"')


@pytest.mark.slow
@needs_proc
def test_launched(tmp_path):
    """Under tools/dist_train.sh: a rank killed, the run resumed, then SIGTERM to the launcher."""
    pointer = tmp_path / 'work' / 'last_checkpoint'
    often = ('default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=1')
    options = ('--cfg-options', 'default_hooks.logger.interval=1', *often)
    with launched(tmp_path, free_port(), *options) as run:
        read_until(run, 'Saving checkpoint at 2 iterations')
        # Children of the launcher, which the shell has become: a rank may have some of its own.
        ranks = [pid for pid, parent in belonging(tmp_path).items() if parent == run.pid]
        assert len(ranks) == 2
        os.kill(ranks[1], signal.SIGKILL)
        all_end(run, tmp_path)

    reached = int(re.search(r'iter_(\d+)\.pth', pointer.read_text())[1])
    with launched(tmp_path, free_port(), '--resume', 'auto', *options) as run:
        assert int(read_until(run, r'resumed epoch: 0, iter: (\d+)')[1]) == reached > 0
        read_until(run, r'Epoch\(train\)')
        os.kill(run.pid, signal.SIGTERM)
        all_end(run, tmp_path)
    assert 'preempted_iter_' in pointer.read_text() and training_fault(pointer.read_text()) is None


@pytest.mark.slow
def test_busy_port(tmp_path):
    """Said by the launcher, before anything is trained."""
    with socket.socket() as server:
        server.bind(('0.0.0.0', 0))
        server.listen()
        with launched(tmp_path, server.getsockname()[1]) as run:
            log = run.communicate(timeout=120)[0]
    assert run.returncode != 0 and 'address already in use' in log.lower()
    assert not (tmp_path / 'work').exists() and not belonging(tmp_path)
