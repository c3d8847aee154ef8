"""The state of every stock schedule and optimizer goes through the safe loader, and goes on."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from torch import nn

from mmcskd.runs.safe_loading import read

STEPS = 4


def registered(registry):
    names = {
        f'{place.scope}.{name}': kind
        for place in (registry, registry.children['mmpretrain'])
        for name, kind in place.module_dict.items()
    }
    # Without those that other tests have registered.
    return [
        name
        for name, kind in names.items()
        if kind is not torch.optim.Optimizer and not kind.__module__.startswith('test_')
    ]


def through_a_file(state, place):
    torch.save(state, place / 'state.pth')
    return read(place / 'state.pth')


SCHEDULES = dict(
    Step=dict(step_size=2),
    MultiStep=dict(milestones=[2, 5]),
    Constant=dict(factor=0.5, end=6),
    Exponential=dict(gamma=0.9),
    CosineAnnealing=dict(T_max=8, eta_min=0.001),
    Linear=dict(start_factor=0.1, end=6),
    Poly=dict(power=2, end=8),
    OneCycle=dict(eta_max=1.0, total_steps=8),
    CosineRestart=dict(periods=[3, 5], restart_weights=[1, 0.5], eta_min=0.0),
    ReduceOnPlateau=dict(monitor='loss', patience=1),
)


def schedule(name):
    """A schedule of a fresh optimizer."""
    kind = name.split('.')[1]
    for end in ('ParamScheduler', 'WeightDecay', 'Momentum', 'LR'):
        kind = kind[: -len(end)] if kind.endswith(end) else kind
    arguments = dict(SCHEDULES[kind])
    if name.endswith('ParamScheduler'):
        arguments['param_name'] = 'lr'
        if kind == 'OneCycle':
            arguments['eta_max'] = 1.0
    options = dict(lr=0.1, momentum=0.9, weight_decay=0.05)
    optimizer = OptimWrapper(torch.optim.SGD([nn.Parameter(torch.ones(3))], **options))
    return PARAM_SCHEDULERS.build(dict(type=name, optimizer=optimizer, **arguments))


def steps(built):
    """The values of the optimizer's first group, after each of some steps."""
    found = []
    for count in range(STEPS):
        built.optimizer.step()
        if getattr(built, 'need_val_args', False):
            built.step()
            built.step(dict(loss=1.0 + count / 2))
        else:
            built.step()
        group = built.optimizer.param_groups[0]
        found.append([group[name] for name in ('lr', 'momentum', 'weight_decay')])
    return found


@pytest.mark.parametrize('name', registered(PARAM_SCHEDULERS))
def test_a_schedule(tmp_path, name):
    whole, again = schedule(name), schedule(name)
    begun = steps(whole)
    saved = dict(schedule=whole.state_dict(), optimizer=whole.optimizer.state_dict())
    state = through_a_file(saved, tmp_path)
    again.optimizer.load_state_dict(state['optimizer'])
    again.load_state_dict(state['schedule'])
    gone_on = steps(whole)
    assert steps(again) == gone_on
    assert len({tuple(values) for values in begun + gone_on}) > 1


def optimizer(name):
    """An optimizer of fresh weights; and their loss."""
    matrix, table = nn.Parameter(torch.arange(12.0).reshape(3, 4) / 7), nn.Embedding(5, 2)
    nn.init.ones_(table.weight)
    if name.endswith('.SparseAdam'):
        table.sparse = True
        weights = [table.weight]
    else:
        weights = [matrix] if name.endswith('.Muon') else [matrix, table.weight]
    arguments = dict(lr=0.1)
    if name.endswith('.ZeroRedundancyOptimizer'):
        arguments['optimizer_type'] = 'AdamW'
    built = OPTIMIZERS.build(dict(type=name, params=weights, **arguments))

    def loss():
        built.zero_grad()
        value = table(torch.tensor([1, 3])).square().sum() + (matrix - 1).square().sum()
        value.backward()
        return value

    return built, weights, loss


def trained(built, weights, loss):
    for _ in range(STEPS):
        if isinstance(built, torch.optim.LBFGS):
            built.step(loss)
        else:
            loss()
            built.step()
    return [weight.detach().clone() for weight in weights]


@pytest.fixture
def alone(tmp_path):
    """A group of this process alone, as ZeroRedundancyOptimizer needs."""
    store = f'file://{tmp_path}/store'
    torch.distributed.init_process_group('gloo', init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('name', registered(OPTIMIZERS))
def test_an_optimizer(tmp_path, name, request):
    if name.endswith('.ZeroRedundancyOptimizer'):
        request.getfixturevalue('alone')
    whole, weights, loss = optimizer(name)
    first = trained(whole, weights, loss)
    state = through_a_file(dict(weights=first, optimizer=whole.state_dict()), tmp_path)
    again, weights_again, loss_again = optimizer(name)
    for weight, value in zip(weights_again, state['weights']):
        weight.data.copy_(value)
    again.load_state_dict(state['optimizer'])
    expected = trained(whole, weights, loss)
    found = trained(again, weights_again, loss_again)
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(expected[0], first[0])
