"""The hooks of mmcskd/runs, as its README configures them, around a model that distils nothing."""

import itertools
import os
import re
import signal

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from tool_runs import ROOT
from torch import nn
from torch.utils.data import Dataset

from mmcskd.runs.safe_loading import read

README = (ROOT / 'mmcskd' / 'runs' / 'README.md').read_text(encoding='utf-8')
NUMBERS = itertools.count()
CONFIG = Config.fromstring(re.search(r'```python\n(.*?)```', README, re.S)[1], '.py')


class Points(Dataset):
    metainfo = dict(name='points')

    def __len__(self):
        return 12

    def __getitem__(self, index):
        noise = torch.randn(4)
        return dict(inputs=torch.arange(4.0) + index / 12 + noise, target=float(index % 3))


class Regression(BaseModel):
    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(4, 1)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def watched_modules(self):
        return {"the teacher's answer": self.teacher}

    def forward(self, inputs, target, mode='tensor'):
        with torch.no_grad():
            self.teacher(inputs)
        outputs = self.layers(inputs)[:, 0]
        if mode != 'loss':
            return outputs
        return dict(loss=(outputs - target.float()).square().mean())


class At(Hook):
    priority = 'LOWEST'

    def __init__(self, iteration, act):
        self.iteration, self.act = iteration, act

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            self.act(runner)


def train(work_dir, *hooks, resume=False):
    torch.manual_seed(0)
    run = Runner(
        model=Regression(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            dataset=Points(),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.001, momentum=0.9)),
        default_hooks=CONFIG.default_hooks.to_dict(),
        custom_hooks=list(hooks),
        randomness=CONFIG.randomness,
        experiment_name=f'plain_{next(NUMBERS)}',
        resume=resume,
    )
    run.train()
    return run


@pytest.fixture
def unbroken(tmp_path):
    train(tmp_path / 'unbroken')
    return read(tmp_path / 'unbroken' / 'epoch_3.pth')['state_dict']


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


def test_checkpoints(unbroken, tmp_path):
    files = sorted(path.name for path in (tmp_path / 'unbroken').glob('*.pth'))
    assert files == ['epoch_2.pth', 'epoch_3.pth']
    assert all(torch.isfinite(value).all() for value in unbroken.values())


def test_exact_resume(unbroken, tmp_path):
    """Of a run that ended in the second epoch: with data, dropout and momentum as if it had not."""

    def stop(runner):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(tmp_path / 'broken', At(9, stop))
    run = train(tmp_path / 'broken', resume=True)
    assert same(run.model.state_dict(), unbroken)


def test_preemption(unbroken, tmp_path):
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / 'ended', At(8, lambda runner: os.kill(os.getpid(), signal.SIGTERM)))
    assert ended.value.code == 143
    # The signal came after the hook had asked for it in iteration 8.
    saved = [path.name for path in (tmp_path / 'ended').glob('preempted_*.pth')]
    assert saved in (['preempted_iter_8.pth'], ['preempted_iter_9.pth'])
    run = train(tmp_path / 'ended', resume=True)
    assert same(run.model.state_dict(), unbroken)


def harm_weights(runner):
    runner.model.layers[2].bias.data[0] = torch.inf


def harm_teacher(runner):
    runner.model.teacher.bias.data[0] = torch.nan


@pytest.mark.parametrize(
    'harm, message',
    [
        (harm_weights, r'loss is not finite .*weights are not finite.* "layers\.2\.bias"'),
        (harm_teacher, r"the teacher's answer is not finite .*it began with the teacher's answer"),
    ],
)
def test_finite_loss(tmp_path, harm, message):
    with pytest.raises(FloatingPointError, match=message) as raised:
        train(tmp_path / 'harmed', At(7, harm))
    assert 'at iteration 8 (epoch 2, rank 0, ' in str(raised.value)
    assert 'lr 0.001' in str(raised.value)
    path = tmp_path / 'harmed' / 'nonfinite_iter_8_rank0.pth'
    evidence = torch.load(path, weights_only=True)
    assert evidence['batch']['inputs'].shape == (2, 4)
    assert evidence['batch']['target'].shape == (2,)
    assert evidence['logged']['lr'] == 0.001
    assert [path.name for path in (tmp_path / 'harmed').glob('epoch_*')] == ['epoch_1.pth']
