"""Fault: SIGKILL at any moment. Expected: the resumed run ends with the same weights, bit for bit.

A forked process dies by a real SIGKILL at a random point. MMCSKD_FAULTS=all kills at more points.
"""

import os
import random

import pytest
import torch
from fault_runs import At, forked, kill, runner, same, together
from models import NUM_CLASSES, algorithm_config, student_config

from mmcskd.runs.safe_loading import read

pytestmark = [pytest.mark.slow, pytest.mark.both_stacks]
KILLED = 128 + 9
MORE = os.environ.get('MMCSKD_FAULTS') == 'all'
POINTS = 12 if MORE else 5
PARTS = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
WHEN = ('before_train_iter', 'after_train_iter')


def model():
    """With all that draws random numbers: mixup, cutmix, dropout, stochastic depth."""
    student = student_config()
    student['backbone'].update(drop_rate=0.1, drop_path_rate=0.2)
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    return algorithm_config(
        architecture=student,
        data_preprocessor=dict(
            type='mmpretrain.ClsDataPreprocessor',
            num_classes=NUM_CLASSES,
            batch_augments=dict(augments=augments),
        ),
    )


REPEATED = dict(type='RepeatAugSampler', num_repeats=3)
LOOPS = dict(
    epochs=dict(sampler=REPEATED, dataset=dict(type='Pictures', noise=True), ema=True),
    # 6 iterations an epoch, 4 a step: gradients are under way when an epoch's checkpoint is made.
    accumulation=dict(
        sampler=REPEATED, dataset=dict(type='Pictures', noise=True), ema=True, accumulate=4
    ),
    workers=dict(
        sampler=REPEATED, workers=2, ema=True, dataset=dict(type='Pictures', noise=True)
    ),
    iterations=dict(
        iterations=18, dataset=dict(type='Pictures', noise=True), ema=True,
        checkpoint=dict(interval=5), accumulate=2,
    ),
    iterations_of_epochs=dict(
        iterations=18, sampler=REPEATED, workers=2, checkpoint=dict(interval=4),
        dataset=dict(type='Pictures', noise=True),
    ),
    iterations_of_epochs_alone=dict(
        iterations=18, sampler=REPEATED, checkpoint=dict(interval=4),
        dataset=dict(type='Pictures', noise=True),
    ),
    # A new best one is saved between two checkpoints, and between two steps of the optimizer.
    validated_iterations=dict(
        iterations=18, dataset=dict(type='Pictures', noise=True), accumulate=2, validate=3,
        checkpoint=dict(interval=5, save_best='score', rule='less', max_keep_ckpts=9),
    ),
    validated_epochs=dict(
        sampler=REPEATED, dataset=dict(type='Pictures', noise=True), ema=True, accumulate=4,
        validate=1, checkpoint=dict(save_best='score', rule='less'),
    ),
)  # fmt: skip


def last(place, options):
    name = f'iter_{options["iterations"]}.pth' if 'iterations' in options else 'epoch_3.pth'
    return read(place / name)


def train(place, options, *hooks, resume=False):
    runner(place, *hooks, model=model(), resume=resume, **options).train()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """MMEngine sleeps two seconds where an iteration-based loop starts its loader again."""
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Runs that were never killed, made as they are needed."""
    made = {}

    def get(name, options=None):
        if name not in made:
            place = get.places[name] = tmp_path_factory.mktemp(name)
            assert forked(train, place, options or LOOPS[name]) == 0
            made[name] = last(place, options or LOOPS[name])
        return made[name]

    get.places = {}
    return get


def kept(checkpoint):
    """What must be the same, the log of each iteration included; but for how long it took."""
    scalars = checkpoint['message_hub']['log_scalars']
    histories = {
        name: [history._log_history.tolist(), history._count_history.tolist()]
        for name, history in scalars.items()
        if not name.endswith('time')
    }
    return {**{part: checkpoint[part] for part in PARTS if part in checkpoint}, 'log': histories}


def differs(found, wanted):
    return same(kept(found), kept(wanted))


def test_every_iteration_is_in_the_log(whole):
    """Of the run that was never killed, with which the others are compared."""
    log = kept(whole('epochs'))['log']
    losses = {'train/loss_base', 'train/loss_deit', 'train/loss_cskd', 'train/loss'}
    assert losses <= {name.replace('student.', '').replace('distill.', '') for name in log}
    assert {len(values) for values, _ in log.values()} == {18}


def points(name):
    """Reproducible, but other ones with another seed in MMCSKD_FAULTS_SEED."""
    draw = random.Random(f'{name} {os.environ.get("MMCSKD_FAULTS_SEED", "0")}')
    return sorted(draw.sample([(i, when) for i in range(1, 18) for when in WHEN], POINTS))


@pytest.mark.parametrize(
    'name, iteration, when', [(name, *point) for name in LOOPS for point in points(name)]
)
def test_killed_at_a_random_iteration(tmp_path, whole, name, iteration, when):
    options = LOOPS[name]
    assert forked(train, tmp_path, options, At(iteration, kill, when)) == KILLED
    assert forked(lambda: train(tmp_path, options, resume=True)) == 0
    assert differs(last(tmp_path, options), whole(name)) is None


def test_killed_after_the_extra_checkpoint_of_a_new_best(tmp_path, whole):
    """It is saved behind a validation, between two steps of the optimizer."""
    options = LOOPS['validated_iterations']
    assert forked(train, tmp_path, options, At(9, kill, 'before_train_iter')) == KILLED
    newest = read(tmp_path / 'iter_9.pth')
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_9.pth')
    assert len(newest['gradients'][0]) > 0
    assert forked(lambda: train(tmp_path, options, resume=True)) == 0
    assert differs(last(tmp_path, options), whole('validated_iterations')) is None


def best(place):
    """The name of the best checkpoint and its weights."""
    (path,) = place.glob('best_*.pth')
    return path.name, read(path)['state_dict']


VALIDATED = ['validated_iterations', 'validated_epochs']


@pytest.mark.parametrize('name', VALIDATED)
@pytest.mark.parametrize('iteration', [12, 18])
@pytest.mark.parametrize(
    'act, when, code', [(lambda _: os.kill(os.getpid(), 15), 'after_train_iter', 143),
                        (kill, 'before_val_epoch', KILLED), (kill, 'after_val', KILLED)],
    ids=['preempted', 'killed_before', 'killed_after'],
)  # fmt: skip
def test_a_validation_that_is_due_comes(tmp_path, whole, name, iteration, act, when, code):
    """The one of the last iteration too, with the best checkpoint that it brings."""
    if code == 143:
        iteration, when = iteration - 1, 'before_train_iter'
    assert forked(train, tmp_path, LOOPS[name], At(iteration, act, when)) == code
    assert forked(lambda: train(tmp_path, LOOPS[name], resume=True)) == 0
    assert differs(last(tmp_path, LOOPS[name]), whole(name)) is None
    expected, found = best(whole.places[name]), best(tmp_path)
    assert found[0] == expected[0] and same(found[1], expected[1]) is None


@pytest.mark.parametrize('when', ['before_train_epoch', 'after_train_epoch'])
def test_killed_between_epochs(tmp_path, whole, when):
    options = LOOPS['accumulation']
    assert forked(train, tmp_path, options, At(12, kill, when)) == KILLED
    assert forked(lambda: train(tmp_path, options, resume=True)) == 0
    assert differs(last(tmp_path, options), whole('accumulation')) is None


def test_killed_again_and_again(tmp_path, whole):
    options = LOOPS['epochs']
    for iteration in (2, 8, 9, 14, 17):
        killer = At(iteration, kill)
        assert forked(lambda k=killer: train(tmp_path, options, k, resume=True)) == KILLED
    assert forked(lambda: train(tmp_path, options, resume=True)) == 0
    assert differs(last(tmp_path, options), whole('epochs')) is None


@pytest.mark.parametrize('name', LOOPS)
@pytest.mark.parametrize('iteration', [3, 8, 15])
def test_preempted_in_the_middle(tmp_path, whole, name, iteration):
    """SIGTERM: nothing is done twice, and the end is the same."""
    options = LOOPS[name]

    def ask(run):
        os.kill(os.getpid(), 15)

    assert forked(train, tmp_path, options, At(iteration, ask, 'before_train_iter')) == 143
    done = []

    def resumed():
        count = At(0, None)
        count.after_train_iter = lambda run, *_, **__: done.append(run.iter)
        train(tmp_path, options, count, resume=True)
        assert len(done) < 18 - iteration

    assert forked(resumed) == 0
    assert differs(last(tmp_path, options), whole(name)) is None


def test_seed_of_the_first_run_is_kept(tmp_path, whole):
    """A config without a seed: the order of the data is the checkpoint's, not a new one."""
    options = dict(LOOPS['epochs'], seed=None)

    def train_unseeded(*hooks, resume=False, epochs=3):
        train(tmp_path, dict(options, epochs=epochs), *hooks, resume=resume)

    class Note(At):
        def __init__(self):
            pass

        def before_train(self, run):
            (tmp_path / f'seed_{run.iter}').write_text(f'{run.train_dataloader.sampler.seed}')

    assert forked(lambda: train_unseeded(Note(), At(8, kill))) == KILLED
    assert forked(lambda: train_unseeded(Note(), resume=True)) == 0
    assert (tmp_path / 'seed_0').read_text() == (tmp_path / 'seed_6').read_text()


DOUBLE = dict(LOOPS['accumulation'], batch=1)


@pytest.fixture(scope='module')
def double(tmp_path_factory):
    """Two processes that were never killed."""
    place = tmp_path_factory.mktemp('double')
    assert together(lambda rank: train(place, DOUBLE)) == [0, 0]
    return last(place, DOUBLE)


@pytest.mark.parametrize('iteration, victim', [(4, 0), (9, 1), (14, 0), (17, 1)])
def test_one_of_two_processes_killed(tmp_path, double, iteration, victim):
    """Both end, and the resumed pair ends as the one that was never killed."""

    def train_rank(rank):
        train(tmp_path, DOUBLE, *([At(iteration, kill)] if rank == victim else []))

    codes = together(train_rank, timeout=30)
    assert codes[victim] == KILLED and codes[1 - victim] not in (0, 128 + 14)
    assert together(lambda rank: train(tmp_path, DOUBLE, resume=True)) == [0, 0]
    assert differs(last(tmp_path, DOUBLE), double) is None


@pytest.mark.parametrize('asked', [(0, 1), (0,), (1,)], ids=['both', 'first', 'second'])
def test_two_processes_preempted(tmp_path, double, asked):
    """Whichever the signal reaches, and when: both end with 143 after one step, which is saved."""

    def train_rank(rank):
        ask = At(8 + rank, lambda run: os.kill(os.getpid(), 15), 'before_train_iter')
        train(tmp_path, DOUBLE, *([ask] if rank in asked else []))

    assert together(train_rank, timeout=30) == [143, 143]
    # Told of in the iteration after; a step of the optimizer is four iterations.
    assert (tmp_path / 'last_checkpoint').read_text().endswith('preempted_iter_12.pth')
    assert together(lambda rank: train(tmp_path, DOUBLE, resume=True)) == [0, 0]
    assert differs(last(tmp_path, DOUBLE), double) is None


def test_another_number_of_processes(tmp_path, double):
    """Two processes, then one with the whole batch: same data, weights equal but for rounding."""
    plain = dict(optim=dict(optimizer=dict(type='SGD', lr=0.1)), dataset=dict(type='Pictures'))

    def train_rank(rank):
        runner(tmp_path, At(8, kill), batch=1, **plain).train()

    together(train_rank, timeout=30)
    assert forked(lambda: runner(tmp_path, batch=2, resume=True, **plain).train()) == 0
    alone = tmp_path / 'alone'
    assert forked(lambda: runner(alone, batch=2, **plain).train()) == 0
    a, b = (read(p / 'epoch_3.pth') for p in (tmp_path, alone))
    for name, value in a['state_dict'].items():
        torch.testing.assert_close(value, b['state_dict'][name], rtol=1e-2, atol=1e-3, msg=name)


def test_another_total_batch_is_refused(tmp_path):
    assert forked(lambda: runner(tmp_path, At(8, kill)).train()) == KILLED
    with pytest.raises(ValueError, match=r'total batch of 2, this run has 3 .*Make the product 2'):
        runner(tmp_path, batch=3, resume=True).train()
