"""Two runs in one work directory: the second is refused, until the first has ended in any way."""

import os
import signal
import time
from pathlib import Path

import pytest
from fault_runs import At, ended, forked, kill, runner, start, together
from mmengine.config import Config

from mmcskd.app.runner import build_runner
from mmcskd.runs.work_dir_lock import FILE, lock, locked, unlock


def hold(folder):
    """A process that holds the lock, and waits."""

    def held():
        assert lock(str(folder)) is None
        (folder / 'ready').touch()
        time.sleep(60)

    (folder / 'ready').unlink(missing_ok=True)
    child = start(held)
    _wait_for(folder / 'ready')
    return child


def _wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f'{path} never came')


@pytest.mark.parametrize('by', [signal.SIGKILL, signal.SIGTERM])
def test_released_by_death(tmp_path, by):
    child = hold(tmp_path)
    message = lock(str(tmp_path))
    assert f'work_dir="{tmp_path}" is in use by the run of process {child} on ' in message
    assert '--work-dir' in message
    os.kill(child, by)
    ended(child)
    assert lock(str(tmp_path)) is None
    assert (tmp_path / FILE).read_text().startswith(f'process {os.getpid()} on ')
    unlock(str(tmp_path))


def test_released_at_the_end(tmp_path):
    assert lock(str(tmp_path)) is None
    assert forked(lambda: _expect(lock(str(tmp_path)))) == 0
    unlock(str(tmp_path))
    assert forked(lambda: _expect(lock(str(tmp_path)), locked=False)) == 0


def _expect(message, locked=True):
    assert (message is not None) == locked, message


def test_again_in_the_same_process(tmp_path, monkeypatch):
    """Under any name of the folder; a second time holds it as the first."""
    monkeypatch.chdir(tmp_path)
    assert lock(str(tmp_path)) is None and lock('.') is None
    assert forked(lambda: _expect(lock(str(tmp_path)))) == 0
    unlock('.')
    unlock('.')


def test_a_forked_worker_holds_nothing(tmp_path):
    """It may outlive the run by seconds."""

    def run():
        assert lock(str(tmp_path)) is None
        if os.fork() == 0:
            (tmp_path / 'worker').write_text(str(os.getpid()))
            time.sleep(30)
            os._exit(0)
        _wait_for(tmp_path / 'worker')
        kill()

    assert forked(run) == 128 + signal.SIGKILL
    assert lock(str(tmp_path)) is None
    unlock(str(tmp_path))
    os.kill(int((tmp_path / 'worker').read_text()), signal.SIGKILL)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(38, 'Function not implemented')

    monkeypatch.setattr('mmcskd.runs.work_dir_lock.fcntl.lockf', none)
    assert lock(str(tmp_path)) is None


def refused(folder, key='work_dir', **options):
    with pytest.raises(ValueError, match=rf'{key}=.* is in use by the run of process \d+ on'):
        runner(folder, epochs=1, **options).train()


def test_asked_without_writing(tmp_path):
    """By any process, the one that holds it included; an empty folder stays empty."""
    assert locked(str(tmp_path / 'none')) is None
    assert locked(str(tmp_path)) is None and not list(tmp_path.iterdir())
    assert lock(str(tmp_path)) is None
    assert locked(str(tmp_path)) is None
    assert forked(lambda: _expect(locked(str(tmp_path)))) == 0
    unlock(str(tmp_path))
    assert forked(lambda: _expect(locked(str(tmp_path)), locked=False)) == 0


@pytest.mark.parametrize('shared', ['work_dir', 'out_dir'])
def test_a_second_run_writes_nothing(tmp_path, shared):
    """tools/train.py is refused before MMEngine makes its folders."""
    (tmp_path / 'out' / 'run').mkdir(parents=True)
    (tmp_path / 'first').mkdir()
    child = hold(tmp_path / 'first' if shared == 'work_dir' else tmp_path / 'out' / 'run')
    before = sorted(tmp_path.rglob('*'))
    work_dir = tmp_path / ('first' if shared == 'work_dir' else 'second/run')
    hooks = dict(checkpoint=dict(type='CheckpointHook', out_dir=str(tmp_path / 'out')))
    cfg = Config(dict(work_dir=str(work_dir), default_hooks=hooks))
    with pytest.raises(ValueError, match=f'{shared}=.* is in use by the run of process {child} on'):
        build_runner(cfg)
    assert sorted(tmp_path.rglob('*')) == before
    os.kill(child, signal.SIGKILL)
    ended(child)


@pytest.mark.slow
def test_a_shared_folder_of_checkpoints(tmp_path):
    """MMEngine adds the last part of the work directory, which two runs may share."""
    out = dict(out_dir=str(tmp_path / 'out'))

    def second(run):
        key = r'default_hooks\.checkpoint\.out_dir'
        assert forked(lambda: refused(tmp_path / 'b' / 'run', key, checkpoint=out)) == 0
        other = runner(tmp_path / 'b' / 'other', epochs=1, checkpoint=out)
        assert forked(other.train) == 0

    first = runner(tmp_path / 'a' / 'run', At(8, second), checkpoint=out)
    assert forked(first.train) == 0
    assert (tmp_path / 'out' / 'run' / 'epoch_3.pth').is_file()
    assert (tmp_path / 'out' / 'other' / 'epoch_1.pth').is_file()


@pytest.mark.slow
def test_a_second_run(tmp_path):
    """It leaves the first one's checkpoints alone; the first one resumes at once after a kill."""

    def second(run):
        assert forked(refused, tmp_path) == 0
        kill()

    assert forked(lambda: runner(tmp_path, At(8, second)).train()) == 128 + signal.SIGKILL
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert forked(lambda: runner(tmp_path, resume=True).train()) == 0
    assert (tmp_path / 'epoch_3.pth').is_file()


@pytest.mark.slow
def test_two_processes_of_one_run(tmp_path):
    """The first one holds it; every process of a second run is refused."""

    def one(rank):
        runner(tmp_path, epochs=1, batch=1).train()

    def other(rank):
        try:
            one(rank)
        except ValueError as error:
            assert 'is in use by the run of process' in str(error)
            raise SystemExit(7) from error

    assert together(one) == [0, 0]
    child = hold(tmp_path)
    assert together(other) == [7, 7]
    os.kill(child, signal.SIGKILL)
    ended(child)
    assert together(one) == [0, 0]
    assert Path(tmp_path / FILE).is_file()
