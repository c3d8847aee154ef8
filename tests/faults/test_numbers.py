"""Fault: a number that is none. Expected: the run stops, names the culprit, saves nothing bad."""

import math

import pytest
import torch
from fault_runs import At, Pictures, runner, together
from mmengine.hooks import EMAHook
from models import algorithm_config, batch, distiller_config

from mmcskd import FiniteLossHook
from mmcskd.runs.safe_loading import read


def algorithm(run):
    model = run.model
    return getattr(model, 'module', model)


def nan_in(part):
    def harm(run):
        distiller = algorithm(run).distiller.distill_losses
        if part == 'loss_base':
            algorithm(run).student.head.loss_module.loss_weight = math.nan
        else:
            distiller[part].loss_weight = math.inf if part == 'loss_deit' else math.nan

    return harm


@pytest.mark.parametrize('part', ['loss_base', 'loss_deit', 'loss_cskd'])
def test_any_loss_stops_the_run(tmp_path, part):
    """At that iteration, before its backward pass: the weights are those that gave the loss."""
    run = runner(tmp_path, At(8, nan_in(part)))
    weight = 1 - 8 / 18
    with pytest.raises(FloatingPointError) as caught:
        run.train()
    message = str(caught.value)
    assert message.startswith(f'{part} is not finite at iteration 9 (epoch 2, rank 0, ')
    assert f'fusion_weight {weight}' in message and 'arose in the model or the loss' in message
    path = tmp_path / 'nonfinite_iter_9_rank0.pth'
    assert str(path) in message
    evidence = torch.load(path, weights_only=True)
    assert evidence['iteration'] == 9 and evidence['logged']['fusion_weight'] == pytest.approx(
        weight
    )
    assert [k for k, v in evidence['losses'].items() if not torch.isfinite(v)] == [part]
    assert evidence['batch']['inputs'].shape == (2, 3, 32, 32)
    assert len(evidence['batch']['data_samples']) == 2
    assert set(evidence['state_dict']) == set(run.model.state_dict())
    for name, value in run.model.state_dict().items():
        assert torch.isfinite(value).all() and torch.equal(value, evidence['state_dict'][name])
    assert sorted(p.name for p in tmp_path.glob('epoch_*.pth')) == ['epoch_1.pth']


def test_a_late_flag_names_its_own_iteration(tmp_path, monkeypatch):
    """As on CUDA, where a flag is read an iteration later: here the next epoch has begun."""
    run = runner(tmp_path, At(5, nan_in('loss_cskd')), checkpoint=dict(interval=3))
    hook = next(hook for hook in run.hooks if isinstance(hook, FiniteLossHook))
    read_now = hook._read

    def late():
        # Of the sixth iteration, the last one of the first epoch, in the seventh.
        if run.iter != 5:
            read_now()

    monkeypatch.setattr(hook, '_read', late)
    with pytest.raises(FloatingPointError) as caught:
        run.train()
    assert run.iter == 6 and run.epoch == 1
    message = str(caught.value)
    assert 'iteration 6 (epoch 1, rank 0, ' in message
    assert f'fusion_weight {1 - 5 / 18})' in message
    evidence = torch.load(tmp_path / 'nonfinite_iter_6_rank0.pth', weights_only=True)
    assert evidence['epoch'] == 0 and evidence['logged']['fusion_weight'] == 1 - 5 / 18


def test_evidence_gives_the_loss_again(tmp_path):
    """The batch in the file is the one that the models saw."""
    run = runner(tmp_path, At(8, nan_in('loss_cskd')))
    with pytest.raises(FloatingPointError):
        run.train()
    evidence = torch.load(tmp_path / 'nonfinite_iter_9_rank0.pth', weights_only=True)
    model = algorithm(run)
    model.load_state_dict(evidence['state_dict'])
    _, samples = batch(2)
    seen = evidence['batch']
    for sample, items in zip(samples, seen['data_samples']):
        sample.set_gt_label(items['gt_label'])
    losses = model.student(seen['inputs'], samples, mode='loss')
    torch.testing.assert_close(losses['loss'], evidence['losses']['loss_base'])


def harm_teacher(run):
    algorithm(run).teacher.head.fc.weight.data[0, 0] = math.nan


def harm_student(run):
    algorithm(run).student.head.layers.head.bias.data[0] = math.inf


@pytest.mark.parametrize(
    'harm, culprit',
    [
        (harm_teacher, r"it began with the teacher's answer \(model\.teacher_ckpt\)"),
        (harm_student, r'the weights are not finite.*architecture\.head\.layers\.head\.bias'),
    ],
)
@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_culprit_is_named(tmp_path, harm, culprit, mode):
    """Also with hard labels, where the loss of a broken teacher is as finite as any."""
    model = algorithm_config(distiller=distiller_config(mode=mode))
    run = runner(tmp_path, At(2, harm), model=model)
    with pytest.raises(FloatingPointError, match=f'iteration 3 .*{culprit}'):
        run.train()


def test_batch_is_named(tmp_path):
    def harm(run):
        run.train_dataloader.dataset.noise = math.nan

    class Broken(Pictures):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            if self.noise:
                item['inputs'][0, 0, 0] = self.noise
            return item

    run = runner(tmp_path, At(2, harm), dataset=Broken())
    with pytest.raises(FloatingPointError, match='the batch itself is not finite'):
        run.train()


def harm_average(run):
    (hook,) = (hook for hook in run.hooks if isinstance(hook, EMAHook))
    hook.ema_model.module.architecture.head.layers.head.bias.data[0] = math.nan


@pytest.mark.parametrize(
    'harm, ema, whose',
    [
        (harm_student, False, 'model'),
        (harm_student, True, 'model'),
        (harm_average, True, 'average'),
    ],
)
def test_bad_weights_reach_no_checkpoint(tmp_path, harm, ema, whose):
    """However they came about: here between the last loss of an epoch and its checkpoint."""
    run = runner(tmp_path, At(12, harm), ema=ema)
    with pytest.raises(
        FloatingPointError, match=rf'head\.bias" of the {whose} is not finite after'
    ):
        run.train()
    assert sorted(p.name for p in tmp_path.glob('*.pth*')) == ['epoch_1.pth']
    content = read(tmp_path / 'epoch_1.pth')
    for part in ('state_dict', 'ema_state_dict')[: 1 + ema]:
        assert all(torch.isfinite(value).all() for value in content[part].values())
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1.pth')


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='needs torch >= 2.3')
def test_overflow_is_skipped_and_counted(tmp_path):
    """float16 with a scale far too high: halved step by step, without an end to the run."""
    amp = dict(
        type='mmrazor.DeviceAmpOptimWrapper',
        dtype='float16',
        loss_scale=dict(init_scale=2.0**24),
    )
    run = runner(tmp_path, optim=amp)
    run.train()
    skipped = run.message_hub.get_info('skipped_steps')
    scale = run.optim_wrapper.loss_scaler.get_scale()
    assert 0 < skipped < 18 and scale == 2.0 ** (24 - skipped)
    history = run.message_hub.get_scalar('train/skipped_steps').data[0]
    assert history[-1] == skipped and len(history) == 18
    resumed = runner(tmp_path, optim=amp, epochs=4, resume=True)
    resumed.train()
    assert resumed.message_hub.get_info('skipped_steps') >= skipped


def test_no_scaler_no_count(tmp_path):
    run = runner(tmp_path, epochs=1)
    run.train()
    assert 'train/skipped_steps' not in run.message_hub.log_scalars


class Event:
    """Of a device that is an iteration behind."""

    waited = False

    def synchronize(self):
        self.waited = True


def test_flags_on_their_way_are_not_waited_for(tmp_path, monkeypatch):
    """As on CUDA: waited for an iteration later, or before a save."""
    run = runner(tmp_path, epochs=1)
    hook = next(hook for hook in run.hooks if isinstance(hook, FiniteLossHook))
    hook.before_train(run)
    stopped, model = [], algorithm(run)
    monkeypatch.setattr(hook, '_stop', lambda record, bad: stopped.append((record, bad)))

    def look():
        hook._look(model, (), dict(mode='loss'), dict(loss=torch.tensor(1.0)))

    for finish in (look, lambda: hook.before_save_checkpoint(run, {})):
        event = Event()
        hook._pending = 'record', ['loss', 'other'], torch.tensor([True, False]), event
        hook.after_train_iter(run, 0)
        assert not event.waited and not stopped
        finish()
        assert event.waited and stopped.pop() == ('record', ['other'])


def test_all_processes_stop(tmp_path):
    """NaN on one of two: it says so, the other cannot go on, and neither takes the step."""

    def train(rank):
        run = runner(tmp_path, batch=1)
        run.register_hook(At(8, nan_in('loss_cskd') if rank == 1 else (lambda run: None)))
        before = {}

        def keep(run):
            before.update({k: v.clone() for k, v in algorithm(run).state_dict().items()})

        run.register_hook(At(8, keep))
        try:
            run.train()
        except BaseException as error:
            state = algorithm(run).state_dict()
            unchanged = all(torch.equal(state[k], v) for k, v in before.items())
            text = f'{type(error).__name__} {run.iter + 1} {unchanged}'
            (tmp_path / f'end_{rank}').write_text(text)
            raise SystemExit(3) from error

    assert together(train) == [3, 3]
    assert (tmp_path / 'end_1').read_text() == 'FloatingPointError 9 True'
    assert (tmp_path / 'end_0').read_text().endswith(' 9 True')
    assert (tmp_path / 'nonfinite_iter_9_rank1.pth').exists()
