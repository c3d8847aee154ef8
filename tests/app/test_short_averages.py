"""An average over more iterations than the run has would be of nearly the first weights."""

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmcskd.app.runner import naming


class Loop(BaseLoop):
    """400 iterations, 100 an epoch."""

    max_iters, max_epochs, dataloader = 400, 4, DataLoader(range(100))

    def __init__(self):
        pass

    def run(self):
        pass


def begin(**ema):
    kind = naming(Runner)
    runner = kind.__new__(kind)
    runner._hooks, runner._train_loop, runner._resume = [EMAHook(**ema)], Loop(), False
    runner.cfg, runner.param_schedulers = {}, []
    runner.model = torch.nn.Identity()
    runner._hooks[0].before_run = lambda runner: None
    runner.call_hook('before_run')


@pytest.mark.parametrize('ema', [dict(momentum=4e-5), dict(), dict(momentum=0.01, interval=5)])
@pytest.mark.parametrize('when', [dict(), dict(begin_iter=199), dict(begin_epoch=1)])
def test_longer_than_the_run(ema, when):
    with pytest.raises(ValueError, match=r'EMAHook.*averages over .* but the run has 400'):
        begin(**ema, **when)


def test_the_message_has_the_numbers():
    with pytest.raises(ValueError, match=r'25000 iterations \(momentum=4e-05\).*0\.0025 or more'):
        begin(momentum=4e-5)


@pytest.mark.parametrize(
    'ema',
    [
        dict(momentum=0.0025),
        dict(momentum=0.0125, interval=5),
        dict(momentum=4e-5, ema_type='MomentumAnnealingEMA'),
        dict(momentum=4e-5, begin_iter=200),
        dict(momentum=4e-5, begin_epoch=2),
        dict(ema_type='StochasticWeightAverage'),
    ],
)
def test_short_enough(ema):
    begin(**ema)


@pytest.mark.parametrize('when, end', [(dict(begin_epoch=5), 4), (dict(begin_iter=401), 400)])
def test_behind_the_end(when, end):
    with pytest.raises(ValueError, match=f'EMAHook .* has {next(iter(when))}=.* ends at {end}'):
        begin(momentum=0.5, **when)
