"""Faults: damaged files, a full disk, a kill while saving. Expected: whole or older checkpoints."""

import errno
import io
import os
import signal
import time
import zipfile

import pytest
import torch
from fault_runs import At, Lines, final, forked, kill, runner, same, together
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook

from mmcskd import AtomicCheckpointHook, PreemptionHook
from mmcskd.runs import atomic_checkpoint_hook as hook_module
from mmcskd.runs import atomic_file
from mmcskd.runs.atomic_file import AtomicBackend, damage
from mmcskd.runs.resume_choice import candidates, training_fault
from mmcskd.runs.safe_loading import read


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Three epochs, the last two kept."""
    place = tmp_path_factory.mktemp('trained')
    assert forked(lambda: runner(place).train()) == 0
    return place


@pytest.fixture
def copy_of(trained, tmp_path):
    for name in ('epoch_2.pth', 'epoch_3.pth'):
        AtomicBackend().put((trained / name).read_bytes(), tmp_path / name)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def cut_short(path):
    path.write_bytes(path.read_bytes()[:100])


def empty(path):
    path.write_bytes(b'')


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path):
    path.write_bytes(b'no checkpoint at all')


def weights_only(path):
    torch.save(dict(state_dict={}, meta=dict(epoch=3, iter=18)), path)


DAMAGES = {
    cut: 'cut short',
    cut_short: 'cut short',
    empty: 'is empty',
    flip: 'is damaged',
    foreign: 'is no checkpoint',
    weights_only: r'is no checkpoint of a training',
}


@pytest.mark.parametrize('harm', DAMAGES, ids=lambda harm: harm.__name__)
def test_newest_good_one_is_used(copy_of, harm):
    """And the warning names both, the one passed over and the one taken."""
    assert training_fault(copy_of / 'epoch_2.pth') is None
    harm(copy_of / 'epoch_3.pth')
    log = Lines()
    resumed = log.listen(runner(copy_of, epochs=4, resume=True))
    starts = []
    resumed.register_hook(At(12, lambda run: starts.append(run.epoch), 'before_train'))
    resumed.train()
    assert starts == [2] and (copy_of / 'epoch_4.pth').exists()
    (line,) = (text for level, text in log.lines if 'Resuming from' in text and level == 'WARNING')
    assert f'Resuming from {copy_of}/epoch_2.pth' in line
    assert f'{copy_of}/epoch_3.pth ' in line and DAMAGES[harm].replace('cut short', '') in line


def test_newest_is_by_iteration_not_by_date(copy_of):
    """As after a plain copy of the directory, whose dates say nothing."""
    os.utime(copy_of / 'epoch_2.pth')
    assert copied(copy_of) == (str(copy_of / 'epoch_3.pth'), [])
    (copy_of / 'last_checkpoint').write_text(str(copy_of / 'epoch_2.pth'))
    chosen, (line,) = copied(copy_of)
    assert chosen == str(copy_of / 'epoch_3.pth')
    assert line == f'Resuming from {chosen}, as {copy_of}/epoch_2.pth of last_checkpoint is older.'
    (copy_of / 'last_checkpoint').write_text('epoch_9.pth')
    assert copied(copy_of)[1] == [
        f'Resuming from {chosen}, as epoch_9.pth of last_checkpoint is gone.'
    ]


def copied(place):
    """What a resumed run chooses, and its warnings."""
    log = Lines()
    run = log.listen(runner(place, resume=True))
    next(h for h in run.hooks if isinstance(h, AtomicCheckpointHook)).before_run(run)
    return run._load_from, [text for level, text in log.lines if level == 'WARNING']


DEBRIS = {
    'dangling': lambda path: path.symlink_to('nowhere'),
    'loop': lambda path: path.symlink_to(path.name),
    'folder': lambda path: path.mkdir(),
    'pipe': os.mkfifo,
}


@pytest.mark.parametrize('name', ['epoch_4.pth', 'preempted_iter_20.pth'])
@pytest.mark.parametrize('kind', DEBRIS)
def test_debris_is_passed_over(copy_of, name, kind):
    DEBRIS[kind](copy_of / name)
    chosen, (line,) = copied(copy_of)
    assert chosen == str(copy_of / 'epoch_3.pth') and f'{copy_of}/{name} ' in line


@pytest.mark.parametrize(
    'content', [b'\xff\xfe\0\1', b'a\0b', b'x' * 300, b'', b'/dev/null', 'loop', 'folder', 'pipe']
)
def test_last_checkpoint_that_names_no_file(copy_of, content):
    pointer = copy_of / 'last_checkpoint'
    pointer.unlink()
    if isinstance(content, bytes):
        pointer.write_bytes(content)
    else:
        DEBRIS[content](pointer)
    assert copied(copy_of)[0] == str(copy_of / 'epoch_3.pth')


WRONG = {
    'meta.epoch': dict(meta=dict(epoch='three', iter=18)),
    'meta.iter': dict(meta=dict(epoch=3, iter=-1)),
    'state_dict': dict(state_dict={}),
    'state_dict["w"]': dict(state_dict=dict(w=3)),
    'message_hub.runtime_info': dict(message_hub=dict(log_scalars={}, runtime_info=None)),
    'optimizer': dict(optimizer=dict(state=[], param_groups=[])),
    'param_schedulers': dict(param_schedulers=[None]),
    'ema_state_dict': dict(ema_state_dict=[]),
}


@pytest.mark.parametrize('part', WRONG)
def test_values_that_are_not_what_they_should_be(copy_of, part):
    path = copy_of / 'epoch_3.pth'
    torch.save({**read(path), **WRONG[part]}, path)
    chosen, (line,) = copied(copy_of)
    assert chosen == str(copy_of / 'epoch_2.pth')
    assert f'{path} is no checkpoint of a training (its {part} is not what it should be)' in line


@pytest.mark.parametrize('by_epoch', [True, False])
def test_order_of_checkpoints(tmp_path, by_epoch):
    """Those of a preemption lie between those of epochs; one that cannot tell is tried first."""
    kept = 'epoch_{}.pth' if by_epoch else 'iter_{}.pth'
    names = [kept.format(n) for n in (2, 10, 9)] if by_epoch else ['iter_54.pth', 'iter_60.pth']
    for name in names:
        (tmp_path / name).touch()
    for epoch, iteration in ((9, 57), (10, 63), (8, 54)):
        meta = dict(epoch=epoch, iter=iteration)
        torch.save(dict(meta=meta), tmp_path / f'preempted_iter_{iteration}.pth')
    found = [path.stem for path in candidates(tmp_path, kept, by_epoch)]
    if by_epoch:
        assert found[:4] == ['preempted_iter_63', 'epoch_10', 'preempted_iter_57', 'epoch_9']
        assert found[4:] == ['preempted_iter_54', 'epoch_2']
        (tmp_path / 'preempted_iter_54.pth').write_bytes(b'')
        assert candidates(tmp_path, kept, by_epoch)[0].stem == 'preempted_iter_54'
    else:
        assert found[:3] == ['preempted_iter_63', 'iter_60', 'preempted_iter_57']
        assert set(found[3:]) == {'preempted_iter_54', 'iter_54'}


BAD_OPTIONS = [
    ('max_keep_ckpts', [1], TypeError), ('max_keep_ckpts', 0, ValueError),
    ('interval', 'a', TypeError), ('interval', 0.5, TypeError), ('interval', 0, ValueError),
    ('save_best', [3], TypeError), ('by_epoch', 1, TypeError), ('out_dir', 3, TypeError),
    ('filename_tmpl', 'x.pth', ValueError), ('filename_tmpl', '{}/{}.pth', ValueError),
    ('save_begin', -1, ValueError), ('published_keys', 1, TypeError), ('rule', 3, TypeError),
]  # fmt: skip


@pytest.mark.parametrize('key, value, kind', BAD_OPTIONS)
def test_keys_of_the_stock_hook_are_checked(key, value, kind):
    """Which by itself takes most of them, and fails at the first save or saves nothing."""
    with pytest.raises(kind, match=rf'^default_hooks\.checkpoint\.{key} is '):
        AtomicCheckpointHook(**{key: value})


def test_a_damaged_file_asked_for_by_name(copy_of):
    flip(copy_of / 'epoch_3.pth')
    bad = str(copy_of / 'epoch_3.pth')
    with pytest.raises(
        ValueError, match=r'epoch_3\.pth is damaged .*newest good one is .*epoch_2\.pth'
    ):
        runner(copy_of, epochs=4, resume=True, load_from=bad).train()


def test_no_good_one_left(copy_of):
    for name in ('epoch_2.pth', 'epoch_3.pth'):
        flip(copy_of / name)
    with pytest.raises(ValueError, match=r'no good checkpoint is left: .*epoch_3.*epoch_2.*anew'):
        runner(copy_of, resume=True).train()


def test_nothing_to_resume(tmp_path):
    """A first start with --resume, also where last_checkpoint names a file that is gone."""
    (tmp_path / 'last_checkpoint').write_text('gone.pth')
    runner(tmp_path, epochs=1, resume=True).train()
    assert damage(tmp_path / 'epoch_1.pth') is None


def test_checkpoint_of_another_model(copy_of):
    """MMEngine would go on with random weights wherever a name does not fit."""
    content = read(copy_of / 'epoch_3.pth')
    name = next(iter(content['state_dict']))
    content['state_dict']['other'] = content['state_dict'].pop(name)
    torch.save(content, copy_of / 'epoch_3.pth')
    with pytest.raises(
        ValueError, match=rf'resume from lacks 1 of the \d+ .*random; the first is "{name}"'
    ):
        runner(copy_of, resume=True).train()


def test_stock_checkpoint(copy_of, tmp_path):
    """The checksums of the archive serve whoever wrote the file."""
    path = tmp_path / 'stock.pth'
    torch.save(read(copy_of / 'epoch_3.pth'), path)
    assert training_fault(path) is None
    flip(path)
    assert 'is damaged' in damage(path)


def test_checkpoint_of_an_earlier_release(copy_of):
    """Its archive has a digest as comment."""
    path = copy_of / 'epoch_3.pth'
    content = path.read_bytes()
    comment = b'mmcskd sha256 ' + b'0' * 64
    assert content[-2:] == b'\0\0'
    path.write_bytes(content[:-2] + len(comment).to_bytes(2, 'little') + comment)
    assert zipfile.ZipFile(path).comment == comment and training_fault(path) is None
    assert copied(copy_of) == (str(path), [])
    flip(path)
    assert 'is damaged' in damage(path)


def test_every_byte_counts(tmp_path):
    """Any flipped bit of a small checkpoint is seen, or changes nothing of what is read."""
    content = dict(a=torch.arange(4), b='x')
    with io.BytesIO() as file:
        torch.save(content, file)
        AtomicBackend().put(file.getvalue(), tmp_path / 'a.pth')
    whole = (tmp_path / 'a.pth').read_bytes()
    assert damage(tmp_path / 'a.pth') is None
    nothing_missing = training_fault(tmp_path / 'a.pth')
    assert nothing_missing.startswith('is no checkpoint of a training')
    seen = 0
    for place in range(0, len(whole), 3):
        harmed = bytearray(whole)
        harmed[place] ^= 16
        (tmp_path / 'a.pth').write_bytes(harmed)
        # As a resumed run looks: by the checksums, then by reading.
        fault = training_fault(tmp_path / 'a.pth')
        if fault != nothing_missing:
            seen += 1
        else:
            found = read(tmp_path / 'a.pth')
            assert found['b'] == 'x' and torch.equal(found['a'], content['a']), place
    assert seen > 100
    for length in range(0, len(whole), 7):
        (tmp_path / 'a.pth').write_bytes(whole[:length])
        assert damage(tmp_path / 'a.pth'), length


MOMENTS = ['open', 'write', 'fsync', 'replace', 'pointer', 'after']


@pytest.mark.parametrize('moment', MOMENTS)
def test_killed_while_saving(trained, tmp_path, moment):
    """At every step of the second save: what is there is whole, and the end is the same."""

    def dies():
        run = runner(tmp_path, checkpoint=dict(max_keep_ckpts=1))
        run.register_hook(At(6, lambda _: break_into(moment), 'before_train_epoch'))
        run.train()

    def break_into(moment):
        real = dict(replace=os.replace, fsync=os.fsync)
        calls = []

        def replace(source, target):
            calls.append(target)
            if moment == 'replace' or (moment == 'pointer' and len(calls) == 2):
                kill()
            real['replace'](source, target)
            if moment == 'after':
                kill()

        class Torn(io.FileIO):
            def write(self, content):
                if moment == 'write':
                    super().write(content[:1000])
                kill()

        atomic_file.os = type('os', (), dict(os.__dict__))
        atomic_file.os.replace = staticmethod(replace)
        atomic_file.os.fsync = staticmethod(kill if moment == 'fsync' else os.fsync)
        if moment in ('open', 'write'):
            atomic_file.open = Torn

    assert forked(dies) == 128 + signal.SIGKILL
    pointer = (tmp_path / 'last_checkpoint').read_text()
    assert training_fault(pointer) is None
    assert all(training_fault(path) is None for path in tmp_path.glob('*.pth'))
    assert (
        forked(lambda: runner(tmp_path, resume=True, checkpoint=dict(max_keep_ckpts=1)).train())
        == 0
    )
    assert [path.name for path in tmp_path.glob('*pth*')] == ['epoch_3.pth']
    for part in ('state_dict', 'optimizer'):
        assert same(final(tmp_path)[part], final(trained)[part]) is None


def full_disk(monkeypatch, times=1):
    """The next writes of checkpoints fail as on a full disk."""
    real = os.fsync
    left = [times]

    def fsync(handle):
        if left[0] and os.fstat(handle).st_size > 1000:
            left[0] -= 1
            raise OSError(errno.ENOSPC, 'No space left on device')
        return real(handle)

    monkeypatch.setattr(atomic_file.os, 'fsync', fsync)


def test_full_disk(tmp_path, monkeypatch):
    """The save fails and says so; older ones stay, and training goes on."""
    log = Lines()
    run = log.listen(runner(tmp_path, checkpoint=dict(max_keep_ckpts=1)))
    run.register_hook(At(6, lambda _: full_disk(monkeypatch), 'before_train_epoch'))
    seen = []
    run.register_hook(
        At(12, lambda _: seen.extend(p.name for p in tmp_path.glob('*.pth*')), 'before_train_epoch')
    )
    run.train()
    assert seen == ['epoch_1.pth']
    (line,) = (text for level, text in log.lines if level == 'ERROR')
    assert 'epoch_2.pth could not be saved' in line and 'No space left on device' in line
    assert f'Still there: {tmp_path}/epoch_1.pth' in line and 'stop_if_not_saved=True' in line
    assert [path.name for path in tmp_path.glob('*.pth*')] == ['epoch_3.pth']


def test_full_disk_ends_the_run_if_told_so(tmp_path, monkeypatch):
    run = runner(tmp_path, checkpoint=dict(stop_if_not_saved=True))
    run.register_hook(At(6, lambda _: full_disk(monkeypatch), 'before_train_epoch'))
    with pytest.raises(OSError, match=r'epoch_2\.pth could not be saved .*Still there.*epoch_1'):
        run.train()
    assert training_fault(tmp_path / 'epoch_1.pth') is None


def test_full_disk_at_the_last_save(tmp_path, monkeypatch):
    """Nothing makes up for it: the run fails when all is done."""
    run = runner(tmp_path, epochs=2)
    run.register_hook(At(12, lambda _: full_disk(monkeypatch)))
    with pytest.raises(OSError, match=r'epoch_2\.pth could not be saved .*Still there.*epoch_1'):
        run.train()
    assert run.iter == 12


@pytest.mark.parametrize('key', ['default_hooks.checkpoint.out_dir', 'work_dir'])
def test_folder_that_cannot_be_written_to(tmp_path, monkeypatch, key):
    """Refused before the first iteration."""
    (tmp_path / 'out').write_text('a file')
    options = {} if key == 'work_dir' else dict(out_dir=str(tmp_path / 'out'))
    run = runner(tmp_path / 'run', checkpoint=options)
    run.register_hook(At(0, lambda _: pytest.fail('trains'), 'before_train_iter'))
    if key == 'work_dir':

        def refuse(*_):
            raise OSError(errno.EROFS, 'Read-only file system')

        monkeypatch.setattr(atomic_file.os, 'replace', refuse)
    with pytest.raises(ValueError, match=rf'{key}: checkpoints cannot be written to {tmp_path}'):
        run.train()


class Better(BaseMetric):
    """A metric that rises by one each epoch."""

    value = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.value += 1
        return dict(acc=self.value)


def validated(tmp_path, **checkpoint):
    return runner(
        tmp_path,
        checkpoint=dict(save_best='acc', rule='greater', **checkpoint),
        val_dataloader=dict(
            batch_size=4,
            dataset=dict(type='Pictures', length=4),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(),
        val_evaluator=Evaluator(Better()),
    )


def test_best_checkpoint(tmp_path):
    run = validated(tmp_path, max_keep_ckpts=1)
    run.train()
    assert {path.name for path in tmp_path.glob('*.pth*')} == {
        'best_acc_epoch_3.pth',
        'epoch_3.pth',
    }
    assert damage(tmp_path / 'best_acc_epoch_3.pth') is None


def test_best_checkpoint_on_a_full_disk(tmp_path, monkeypatch):
    """The previous best one stays, and stays known; the run fails at its end."""
    run = validated(tmp_path, max_keep_ckpts=1)
    run.register_hook(At(18, lambda _: full_disk(monkeypatch), 'before_val_epoch'))
    with pytest.raises(OSError, match='The best checkpoint could not be saved'):
        run.train()
    assert {path.name for path in tmp_path.glob('*.pth*')} == {
        'best_acc_epoch_2.pth',
        'epoch_3.pth',
    }
    assert run.message_hub.get_info('best_score') == 2
    assert run.message_hub.get_info('best_ckpt').endswith('best_acc_epoch_2.pth')


class Unreadable(Hook):
    def before_save_checkpoint(self, run, checkpoint):
        checkpoint['meta']['mine'] = complex_object


def complex_object():
    """A function, as a hook of one's own may hold one."""


def test_the_first_checkpoint_is_read_back(tmp_path, monkeypatch):
    """Once; a run that writes what it cannot read ends with it."""
    reads = []
    monkeypatch.setattr(hook_module, 'load_from_local', lambda path, **_: reads.append(path))
    runner(tmp_path / 'good').train()
    assert reads == [f'{tmp_path}/good/epoch_1.pth']
    monkeypatch.undo()
    with pytest.raises(ValueError, match='epoch_1.pth was saved, but no run could read it.*more'):
        runner(tmp_path / 'bad', Unreadable()).train()


@pytest.mark.slow
@pytest.mark.both_stacks
def test_both_of_two_processes_end_at_an_unreadable_checkpoint(tmp_path):
    def train(rank):
        with pytest.raises(ValueError, match='no run could read it'):
            runner(tmp_path, Unreadable(), batch=1).train()

    assert together(train) == [0, 0]


@pytest.mark.slow
@pytest.mark.both_stacks
def test_an_optimizer_in_shards(tmp_path):
    """MMEngine would wait for ever at the first checkpoint."""
    optim = dict(optimizer=dict(type='ZeroRedundancyOptimizer', optimizer_type='AdamW', lr=0.01))

    def train(rank):
        with pytest.raises(ValueError, match=r'^optim_wrapper.optimizer.type="ZeroRedundancy'):
            runner(tmp_path, batch=1, optim=optim).train()

    assert together(train) == [0, 0]


def test_no_warning_of_what_is_made_good(tmp_path):
    """MMEngine warns of lost gradients, and of skipped data, whenever an iteration is resumed."""
    options = dict(iterations=6, accumulate=2, checkpoint=dict(interval=3))

    def stop(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        runner(tmp_path, At(4, stop), **options).train()
    log = Lines()
    resumed = log.listen(runner(tmp_path, resume=True, **options))
    resumed.train()
    assert 'resumed epoch: 0, iter: 3' in [text for _, text in log.lines]
    assert [text for _, text in log.lines if 'is not divisible' in text or 'Advance' in text] == []


def test_half_written_files_are_cleared_away(copy_of):
    (copy_of / 'epoch_4.pth.123.partial').write_bytes(b'PK')
    runner(copy_of, epochs=4, resume=True).train()
    assert not list(copy_of.glob('*.partial'))


def test_thousand_checkpoints_keep_what_was_asked(tmp_path):
    """The bookkeeping of 1,000 saves, of small files."""
    run = runner(tmp_path, checkpoint=dict(max_keep_ckpts=3))
    run._train_loop = run.build_train_loop(run._train_loop)
    hook = next(h for h in run.hooks if type(h).__name__ == 'AtomicCheckpointHook')
    hook.before_train(run)
    hook._has_read = True

    def save_checkpoint(folder, name, *_, **__):
        AtomicBackend().put(b'x', os.path.join(folder, name))

    run.save_checkpoint = save_checkpoint
    fsync, atomic_file.os.fsync = atomic_file.os.fsync, lambda handle: None
    try:
        for step in range(1, 1001):
            hook._save_checkpoint_with_step(run, step, {})
    finally:
        atomic_file.os.fsync = fsync
    assert sorted(p.name for p in tmp_path.glob('*.pth*')) == [
        'epoch_1000.pth',
        'epoch_998.pth',
        'epoch_999.pth',
    ]
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1000.pth')


@pytest.mark.parametrize('accumulate', [1, 4])
def test_sigterm(trained, tmp_path, accumulate):
    """Saves at the end of the step, exits with 143, and goes on to the same end."""
    whole = tmp_path / 'whole'
    assert forked(lambda: runner(whole, accumulate=accumulate).train()) == 0

    def dies():
        run = runner(tmp_path, accumulate=accumulate)
        run.register_hook(
            At(9, lambda _: os.kill(os.getpid(), signal.SIGTERM), 'before_train_iter')
        )
        run.train()

    assert forked(dies) == 143
    expected = 10 if accumulate == 1 else 12
    pointer = (tmp_path / 'last_checkpoint').read_text()
    assert pointer.endswith(f'preempted_iter_{expected}.pth') and training_fault(pointer) is None
    assert forked(lambda: runner(tmp_path, accumulate=accumulate, resume=True).train()) == 0
    assert {p.name for p in tmp_path.glob('*.pth*')} == {'epoch_2.pth', 'epoch_3.pth'}
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert same(final(tmp_path)[part], final(whole)[part]) is None


def test_sigterm_in_a_hung_iteration(tmp_path):
    """The main thread waits for ever, in C: the grace period ends the process all the same."""

    def hangs():
        import threading
        import time

        run = runner(tmp_path)
        hook = next(h for h in run.hooks if type(h).__name__ == 'PreemptionHook')
        hook.grace = 1.0

        def hang(_):
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(60)
            time.sleep(60)

        run.register_hook(At(3, hang))
        run.train()

    assert forked(hangs, timeout=50) == 143


def test_ctrl_c(tmp_path):
    """As SIGTERM, with the exit code that a shell gives it; a launcher's echo is no second one."""

    def dies():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run = runner(tmp_path)

        def ask(_):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

        run.register_hook(At(9, ask, 'before_train_iter'))
        run.train()

    assert forked(dies) == 130
    pointer = (tmp_path / 'last_checkpoint').read_text()
    assert pointer.endswith('preempted_iter_10.pth') and training_fault(pointer) is None
    assert forked(lambda: runner(tmp_path, resume=True).train()) == 0


def test_ctrl_c_twice_ends_at_once(tmp_path):
    """In a step that hangs, long before the grace period is over."""

    def hangs():
        import threading
        import time

        signal.signal(signal.SIGINT, signal.default_int_handler)
        run = runner(tmp_path)

        def hang(_):
            for after in (0.1, 1.3):
                threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(15)

        run.register_hook(At(3, hang))
        run.train()

    began = time.monotonic()
    assert forked(hangs, timeout=50) == 130
    assert time.monotonic() - began < 12
    assert not list(tmp_path.glob('*.pth'))


def test_a_run_in_the_background_ignores_ctrl_c(tmp_path):
    def goes_on():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        runner(tmp_path, At(3, lambda _: os.kill(os.getpid(), signal.SIGINT))).train()

    assert forked(goes_on) == 0


@pytest.mark.slow
@pytest.mark.both_stacks
def test_sigterm_to_a_process_that_the_run_has_forked(tmp_path):
    """As every pool ends its processes: they end, and the run takes no notice."""

    def goes_on():
        import multiprocessing
        import time

        run = runner(tmp_path)
        hook = next(h for h in run.hooks if type(h).__name__ == 'PreemptionHook')
        hook.grace = 0.5

        def use_a_pool(_):
            for _ in range(20):
                with multiprocessing.get_context('fork').Pool(2) as pool:
                    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]

        run.register_hook(At(3, use_a_pool))
        run.register_hook(At(5, lambda _: time.sleep(2)))
        run.train()
        assert not hook.asked

    assert forked(goes_on, timeout=60) == 0
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_3.pth')


def test_preemption_without_a_hook_to_save_with(tmp_path):
    """The signal is left alone, and a warning says so."""
    log, handler = Lines(), signal.getsignal(signal.SIGTERM)
    hooks = dict(checkpoint=dict(type='CheckpointHook'), p=dict(type='mmrazor.PreemptionHook'))
    seen = At(3, lambda run: seen.__dict__.update(handler=signal.getsignal(signal.SIGTERM)))
    log.listen(runner(tmp_path, seen, epochs=1, default_hooks=hooks)).train()
    assert seen.handler is handler
    assert any(
        'SIGTERM and Ctrl-C end the run without a checkpoint' in text for _, text in log.lines
    )


@pytest.mark.parametrize('grace', [0, -1.0, 1e5, 1e300, float('inf'), float('nan')])
def test_grace_is_positive_and_at_most_a_day(grace):
    """More than a thread can wait for would end the watching alone, and with it the grace."""
    with pytest.raises(ValueError, match=r'PreemptionHook\.grace is .*, expected seconds > 0, at'):
        PreemptionHook(grace=grace)
