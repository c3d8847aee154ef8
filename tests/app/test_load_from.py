"""MMEngine's ``load_from``, by the runner of the tools: completely or not at all."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from models import CONFIGS, algorithm_config, build, student_config

from mmcskd.app.runner import naming
from mmcskd.checks.config_check import check_config


def start(model, checkpoint, tmp_path, content, hooks=()):
    torch.save(content, tmp_path / checkpoint)
    runner = naming(Runner)(
        model=model,
        work_dir=str(tmp_path),
        experiment_name=f'{tmp_path.name}_{checkpoint}_{type(model).__name__}',
        load_from=str(tmp_path / checkpoint),
        custom_hooks=list(hooks),
    )
    runner.load_or_resume()
    return runner


def same(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state)


@pytest.mark.parametrize('distils', [True, False])
def test_every_weight_comes_from_it(distils, tmp_path):
    """Of a student by itself and of one in the algorithm, in files of MMEngine and of timm."""
    wanted = build(student_config()).state_dict()
    inside = {f'architecture.{name}': value for name, value in wanted.items()}
    for name, content in (
        ('bare.pth', wanted),
        ('timm.pth', dict(model=wanted)),
        ('inside.pth', dict(state_dict=inside, meta={})),
    ):
        model = build(algorithm_config() if distils else student_config())
        start(model, name, tmp_path, content)
        assert same(getattr(model, 'architecture', model).state_dict(), wanted)


def test_an_average_starts_from_it_too(tmp_path):
    wanted = build(student_config()).state_dict()
    (average,) = hooks = [EMAHook()]
    average.before_run = lambda runner: None
    model = build(algorithm_config())
    average.ema_model = torch.optim.swa_utils.AveragedModel(build(algorithm_config()))
    average.src_model = model
    start(model, 'a.pth', tmp_path, wanted, hooks)
    assert same(average.ema_model.module.architecture.state_dict(), wanted)


def test_what_lacks_a_weight_is_refused(tmp_path):
    state = build(student_config()).state_dict()
    del state['backbone.ln1.bias']
    with pytest.raises(
        ValueError, match=r'load_from=".*a\.pth" lacks 1 of the \d+ weights of CSKD.*ln1\.bias'
    ):
        start(build(algorithm_config()), 'a.pth', tmp_path, state)
    with pytest.raises(ValueError, match='lacks .* would stay random'):
        start(build(algorithm_config()), 'b.pth', tmp_path, dict(state_dict={}))


def test_no_such_file(monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    cfg = Config.fromfile(CONFIGS / 'demo' / 'cskd_vit_resnet18.py')
    cfg.load_from = 'not/there.pth'
    with pytest.raises(ValueError, match=r'load_from="not/there\.pth" is no file'):
        check_config(cfg)
