"""Of several sets of weights in one file, the one that its own library takes is taken, and said."""

from itertools import combinations

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import ExponentialMovingAverage
from timm.models import load_state_dict
from torch import nn

from mmcskd.runs.weights import choose_weights, load_weights, state_dict_of

TIMM = ('state_dict', 'state_dict_ema', 'model', 'model_ema')
SETS = [names for size in range(1, 5) for names in combinations(TIMM, size)]


class Said:
    def __init__(self, monkeypatch):
        self.lines = []
        monkeypatch.setattr(MMLogger.get_current_instance(), 'info', self.lines.append)


@pytest.fixture
def said(monkeypatch):
    return Said(monkeypatch).lines


def set_of(name, prefix=''):
    value = float(TIMM.index(name))
    return {f'{prefix}weight': torch.full((2, 3), value), f'{prefix}bias': torch.full((2,), value)}


@pytest.mark.parametrize('prefix', ['', 'module.', '_orig_mod.', '_orig_mod.module.'])
@pytest.mark.parametrize('names', SETS, ids='+'.join)
def test_as_timm(tmp_path, said, names, prefix):
    """Any sets under any of its names, in any order in the file."""
    path = tmp_path / 'a.pth'
    for order in (names, names[::-1]):
        torch.save(dict(epoch=3, arch='x', **{n: set_of(n, prefix) for n in order}), path)
        model = nn.Linear(3, 2)
        said.clear()
        load_weights(model, str(path))
        theirs = load_state_dict(str(path))
        assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
        kept = [name for name in TIMM if 'ema' in name and name in names]
        assert len(said) == bool(kept)
        assert not kept or said[0].endswith('holds averaged weights: the averaged ones are taken.')


@pytest.mark.parametrize('names', SETS, ids='+'.join)
def test_the_raw_ones(tmp_path, said, names):
    """Where timm's file has them."""
    path, model = tmp_path / 'a.pth', nn.Linear(3, 2)
    torch.save({name: set_of(name) for name in names}, path)
    raw = [name for name in TIMM if 'ema' not in name and name in names]
    if raw:
        load_weights(model, str(path), averaged=False)
        assert torch.equal(model.bias, load_state_dict(str(path), use_ema=False)['bias'])
    else:
        with pytest.raises(ValueError, match=r'--no-ema: .*a\.pth" has no raw weights'):
            load_weights(model, str(path), averaged=False)


def saved_by_mmengine(spare=()):
    """The checkpoint of a model with weights 0 and an average of 1."""
    model, hook = nn.Linear(3, 2), EMAHook()
    hook.ema_model = ExponentialMovingAverage(model)
    checkpoint = dict(meta={}, state_dict=model.state_dict(), **{n: set_of(n) for n in spare})
    for value, part in ((0.0, model), (1.0, hook.ema_model.module)):
        for parameter in part.parameters():
            nn.init.constant_(parameter, value)
    hook.before_save_checkpoint(None, checkpoint)
    return checkpoint


@pytest.mark.parametrize('averaged, value', [(None, 1.0), (True, 1.0), (False, 0.0)])
def test_as_mmengine(said, averaged, value):
    state, kind = choose_weights(saved_by_mmengine(), 'a.pth', averaged)
    assert {float(each.unique()) for each in state.values()} == {value}
    assert kind == ('raw' if averaged is False else 'averaged')
    assert state_dict_of(saved_by_mmengine(), 'a.pth', averaged).keys() == state.keys()
    assert said == [f'a.pth holds averaged weights: the {kind} ones are taken.']


def test_a_set_of_another_library_beside_mmengines():
    """MMEngine takes its own."""
    state, kind = choose_weights(dict(saved_by_mmengine(('model_ema',))), 'a.pth')
    assert kind == 'averaged' and float(state['bias'].unique()) == 1.0
    plain = dict(meta={}, state_dict=set_of('state_dict'), state_dict_ema=set_of('state_dict_ema'))
    state, kind = choose_weights(plain, 'a.pth')
    assert kind == 'only' and float(state['bias'].unique()) == TIMM.index('state_dict')


@pytest.mark.parametrize('lost', ['module.weight', 'module.bias'])
def test_raw_weights_that_are_not_there(lost):
    """Averaged ones in their place would be labelled raw."""
    content = saved_by_mmengine()
    del content['ema_state_dict'][lost]
    name = lost[len('module.') :]
    with pytest.raises(ValueError, match=rf'--no-ema: .* lacks the raw "{name}", with 0 others'):
        choose_weights(content, 'a.pth', averaged=False)


def test_none_are_averaged(said):
    plain = dict(meta={}, state_dict=set_of('state_dict'))
    assert choose_weights(plain, 'a.pth', averaged=False)[1] == 'only'
    with pytest.raises(ValueError, match='--ema: a.pth has no averaged weights'):
        choose_weights(plain, 'a.pth', averaged=True)
    assert said == []
