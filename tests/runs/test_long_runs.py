"""Shards, mixed precision, accumulation, clipping and resumption, as a user runs them."""

import re
import sys

import pytest
import torch
from packaging.version import Version
from tool_runs import TOOLS, losses, run

from mmcskd.runs.safe_loading import read

# torch 2.0 shards on CUDA only.
ON_CPU = pytest.mark.skipif(
    not torch.cuda.is_available() and Version(torch.__version__) < Version('2.1'),
    reason='torch < 2.1 shards no model on a CPU',
)
SHARDS = """
_base_ = './two.py'
model = dict(teacher_ckpt='{teacher}')
runner_type = 'FlexibleRunner'
strategy = dict(type='StudentFSDPStrategy', wrap=['TransformerEncoderLayer'])
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-5, T_max=2, by_epoch=True)]
# AdamW's first steps go by the sign of a gradient, be it rounding alone.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.05, weight_decay=0.05))
"""
WHOLE = SHARDS.replace("runner_type = 'FlexibleRunner'\n", '').replace('strategy', 'unused')


def state(path):
    return read(path)['state_dict']


@pytest.mark.slow
@ON_CPU
def test_shards_train_as_the_whole(place):
    """FSDP: the losses, the weights and the names of a run without it; and a resumed one too."""
    teacher = place / 'teacher' / 'epoch_2.pth'
    (place / 'shards.py').write_text(SHARDS.format(teacher=teacher))
    (place / 'whole.py').write_text(WHOLE.format(teacher=teacher))
    train = TOOLS / 'dist_train.sh'
    run(train, 'whole.py', 2, '--work-dir', 'whole', cwd=place)
    run(train, 'shards.py', 2, '--work-dir', 'shards', cwd=place)
    for a, b in zip(losses(place / 'whole')[1], losses(place / 'shards')[1]):
        assert b['loss'] == pytest.approx(a['loss'], rel=1e-5)
    whole, shards = (state(place / name / 'epoch_2.pth') for name in ('whole', 'shards'))
    assert list(whole) == list(shards)
    for name in whole:
        torch.testing.assert_close(shards[name], whole[name], rtol=1e-4, atol=1e-6, msg=name)

    log = run(
        train, 'shards.py', 2, '--work-dir', 'shards_resumed',
        '--resume', place / 'shards' / 'epoch_1.pth', cwd=place,
    )  # fmt: skip
    assert 'resumed epoch: 1, iter: 6' in log
    resumed = state(place / 'shards_resumed' / 'epoch_2.pth')
    for name in whole:
        torch.testing.assert_close(resumed[name], shards[name], rtol=1e-4, atol=1e-6, msg=name)
    tested = run(
        sys.executable, TOOLS / 'test.py', 'shards.py', place / 'shards' / 'epoch_2.pth', cwd=place
    )
    assert 'accuracy/top1' in tested


@pytest.mark.slow
@pytest.mark.parametrize(
    'change, message',
    [
        (dict(optim_wrapper=dict(clip_grad=dict(max_norm=1.0))), r'optim_wrapper\.clip_grad'),
        pytest.param(
            dict(strategy=dict(wrap=['Block'])),
            r'strategy\.wrap: .*"Block".*TransformerEncoderL',
            marks=ON_CPU,
        ),
    ],
)
def test_shards_refuse(place, change, message):
    (place / 'shards.py').write_text(SHARDS.format(teacher=place / 'teacher' / 'epoch_2.pth'))
    options = [
        f'{part}.{key}={value}' for part, inner in change.items() for key, value in inner.items()
    ]
    log = run(
        TOOLS / 'dist_train.sh', 'shards.py', 1, '--work-dir', 'refused', '--cfg-options', *options,
        cwd=place, fails=True,
    )  # fmt: skip
    assert re.search(message, log), log[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_amp_accumulation_and_clipping(place, dtype, tmp_path):
    """All at once in a run that goes on by itself: `--resume auto`."""
    if dtype == 'float16' and not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('this torch scales no gradients on a CPU')
    arguments = [
        sys.executable, TOOLS / 'train.py', 'one.py', '--work-dir', tmp_path / 'run',
        '--amp', '--no-validate', '--resume', 'auto', '--cfg-options', 'param_scheduler=None',
        f'optim_wrapper.dtype={dtype}', 'optim_wrapper.accumulative_counts=2',
        'optim_wrapper.clip_grad.max_norm=0.5', 'randomness.seed=0',
        'default_hooks.exact_resume.allowed_changes=[train_cfg.max_epochs]',
    ]  # fmt: skip
    run(*arguments, 'train_cfg.max_epochs=1', cwd=place)
    log = run(*arguments, cwd=place)
    assert 'resumed epoch: 1, iter: 6' in log
    steps = losses(tmp_path / 'run')[1]
    assert len(steps) == 12 and all(step['loss'] < 10 for step in steps)
    assert steps[-1]['loss'] < steps[0]['loss']
    saved = read(tmp_path / 'run' / 'epoch_2.pth')
    # Six optimizer steps of twelve iterations, all taken.
    assert {int(moment['step']) for moment in saved['optimizer']['state'].values()} == {6}
    assert 'grad_norm: ' in log
