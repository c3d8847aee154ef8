"""``init_cfg=dict(type='Pretrained')`` by the runner of the tools: completely or not at all."""

import pytest
import torch
from fault_runs import runner
from mmengine.model import PretrainedInit
from mmengine.runner import Runner
from models import algorithm_config, build, student_config

from mmcskd.app.runner import naming


def start(place, content, part='backbone', **init):
    """A distillation whose student, or a part of it, is initialised from a file."""
    torch.save(content, place / 'weights.pth')
    init = dict(dict(type='Pretrained', checkpoint=str(place / 'weights.pth')), **init)
    model = algorithm_config(random_teacher=True)
    student = model['architecture']
    (student[part] if part else student)['init_cfg'] = init
    built = runner(place, epochs=1, kind=naming(Runner), model=model)
    built._init_model_weights()
    return built.model.architecture


@pytest.fixture(scope='module')
def weights():
    return build(student_config()).state_dict()


def test_every_weight_comes_from_it(weights, tmp_path):
    student = start(tmp_path, dict(state_dict=weights), part=None)
    assert all(torch.equal(value, weights[name]) for name, value in student.state_dict().items())
    student = start(tmp_path, dict(state_dict=weights), prefix='backbone.')
    for name, value in student.backbone.state_dict().items():
        assert torch.equal(value, weights[f'backbone.{name}'])


@pytest.mark.parametrize(
    'lost, init, message',
    [
        (
            (),
            {},
            r'lacks (\d+) of the \1 weights of .*set .*\.prefix to',
        ),
        ((), dict(prefix='head.x'), r'has no weights under .*\.prefix="head\.x"'),
        (
            ('backbone.ln1.bias',),
            dict(prefix='backbone'),
            r'lacks 1 of .* is "ln1\.bias"',
        ),
    ],
)
def test_what_would_stay_random(weights, lost, init, message, tmp_path):
    state = {name: value for name, value in weights.items() if name not in lost}
    match = r'model\.architecture\.backbone\.init_cfg\.checkpoint=".*weights\.pth" ' + message
    with pytest.raises(ValueError, match=match):
        start(tmp_path, dict(state_dict=state), **init)


def test_another_shape_and_no_file(weights, tmp_path):
    state = dict(weights, **{'backbone.ln1.bias': torch.zeros(3)})
    with pytest.raises(ValueError, match=r'does not fit: .*\n.*mismatch for ln1\.bias'):
        start(tmp_path, state, prefix='backbone')
    with pytest.raises(ValueError, match=r'init_cfg\.checkpoint=".*" cannot be read'):
        start(tmp_path, state, checkpoint='nowhere.pth')


def test_stock_again_behind_it(weights, tmp_path):
    before = PretrainedInit.__call__
    with pytest.raises(ValueError):
        start(tmp_path, weights)
    assert PretrainedInit.__call__ is before
