import io
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from tool_runs import forget_runs

from mmcskd.app.runner import naming

TIMES = r'   \d\d:\d\d, \d\d:\d\d left'


class Counting(BaseModel):
    """Its loss is 1 in the first iteration, 2 in the second and so on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer('step', torch.zeros(()))

    def forward(self, mode='loss', **batch):
        if mode != 'loss':
            return []
        self.step += 1
        return dict(loss=self.weight.sum() * 0 + self.step)


class Half(BaseMetric):
    default_prefix = 'accuracy'

    def process(self, *_, **__):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(top1=50.0)


@pytest.fixture
def train(tmp_path, capsys):
    """Trains 3 epochs of 4 iterations; returns what it printed and wrote into the log."""

    def start(progress=True, train_cfg=None, val=True, length=4, **more):
        forget_runs()
        hook = dict(type='mmrazor.ProgressHook')
        hooks = dict(
            logger=dict(type='LoggerHook', interval=2), **(dict(progress=hook) if progress else {})
        )
        loader = dict(
            batch_size=1, dataset=[dict(x=0)] * length, sampler=dict(type='DefaultSampler')
        )
        if val:
            evaluator = Evaluator(Half())
            more.update(val_dataloader=loader, val_cfg=dict(), val_evaluator=evaluator)
        runner = naming(Runner)(
            model=Counting(), work_dir=str(tmp_path), default_hooks=hooks,
            cfg=Config(dict(default_hooks=hooks)), train_dataloader=loader,
            train_cfg=train_cfg or dict(by_epoch=True, max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), **more,
        )  # fmt: skip
        runner.train()
        log = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns)
        return capsys.readouterr().out, log.read_text()

    yield start
    forget_runs()


def lines(out, *expected):
    """Compare lines, with whatever times."""
    found = out.splitlines()
    assert len(found) == len(expected), out
    for line, wanted in zip(found, expected):
        assert re.fullmatch(re.escape(wanted) + TIMES, line), line


def test_a_line_for_each_epoch(train):
    out, log = train()
    lines(
        out,
        'epoch 1/3   loss 2.500   accuracy 50.0 %',
        'epoch 2/3   loss 6.500   accuracy 50.0 %',
        'epoch 3/3   loss 10.500   accuracy 50.0 %',
    )
    assert out.splitlines()[-1].endswith(' 00:00 left')
    assert re.search(r'Epoch\(train\) +\[3\]\[4/4\]', log) and 'Environment, order of' in log


def test_without_it_the_log_is_on_the_terminal(train):
    out, log = train(progress=False)
    assert re.search(r'Epoch\(train\) +\[3\]\[4/4\]', out) and 'Environment, order of' in out
    assert 'epoch 1/3' not in out


@pytest.mark.parametrize(
    'options, accuracy',
    [
        (dict(val=False), ''),
        (dict(train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=2)), '   accuracy 50.0 %'),
    ],
)
def test_an_epoch_that_is_not_validated(train, options, accuracy):
    out, _ = train(**options)
    lines(
        out,
        'epoch 1/3   loss 2.500',
        f'epoch 2/3   loss 6.500{accuracy}',
        f'epoch 3/3   loss 10.500{accuracy}',
    )


def test_a_run_by_iterations_has_a_line_for_each_validation(train):
    out, _ = train(length=12, train_cfg=dict(by_epoch=False, max_iters=12, val_interval=6))
    lines(
        out,
        'iteration 6   loss 3.500   accuracy 50.0 %',
        'iteration 12   loss 9.500   accuracy 50.0 %',
    )


def test_a_resumed_run_counts_on(train):
    train(train_cfg=dict(by_epoch=True, max_epochs=1))
    out, _ = train(resume=True)
    _, rest = out.split('goes on after iteration 4 of 12\n')
    lines(
        rest,
        'epoch 2/3   loss 6.500   accuracy 50.0 %',
        'epoch 3/3   loss 10.500   accuracy 50.0 %',
    )


def test_a_bar_on_a_terminal(train, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr('sys.stdout', terminal)
    train(train_cfg=dict(by_epoch=True, max_epochs=1))
    out = terminal.getvalue()
    assert re.search(r'\repoch 1/1   0% +0/4 ', out)
    assert 'epoch 1/1, validation 100%' in out and ' 4/4 ' in out
    assert re.search(r'epoch 1/1   loss 2\.500   accuracy 50\.0 %' + TIMES, out)
