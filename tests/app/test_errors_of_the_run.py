"""What fails while a run runs keeps its type and its words; what cannot be built names its key."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import LinearParamScheduler, OptimWrapper
from mmengine.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
from tool_runs import load_tool
from torch import nn
from torch.utils.data import Dataset

# Functions of a runner that build something, or are called by one that does.
UNLUCKY = (
    'setup_env', 'set_randomness', 'build_log_processor', 'build_visualizer', 'register_hooks',
    'before_run', 'build_model', '_init_model_weights', 'build_optim_wrapper', 'step', 'from_cfg',
    'build_param_scheduler', 'build_train_loop', 'build_val_loop', 'build_test_loop',
    'build_evaluator', 'evaluate', 'prepare_data', '__init__', 'built',
)  # fmt: skip
ERROR = ValueError('of the user')
failing = None  # where to fail


def _unlucky(name, inner):
    scope = {}
    exec(f'def {name}():\n    inner()', dict(inner=inner), scope)
    return scope[name]


def _fail():
    raise ERROR


_through_all = _fail
for _name in UNLUCKY:
    _through_all = _unlucky(_name, _through_all)


def maybe(stage):
    if failing == stage:
        _through_all()


@TRANSFORMS.register_module()
class FailingTransform:
    def __init__(self, fail=False):
        if fail:
            raise KeyError('not to be built')

    def __call__(self, sample):
        maybe('transform')
        return sample


@DATASETS.register_module()
class FailingPictures(Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __init__(self, pipeline=()):
        self.pipeline = [TRANSFORMS.build(each) for each in pipeline]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        maybe('__getitem__')
        sample = torch.full((2,), float(index))
        for transform in self.pipeline:
            sample = transform(sample)
        return dict(inputs=sample)


class FailingLoss(nn.Module):
    def forward(self, outputs):
        maybe('loss')
        return outputs.square().mean()


@MODELS.register_module()
class FailingModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer, self.loss = nn.Linear(2, 1), FailingLoss()

    def forward(self, inputs, mode='tensor'):
        inputs = torch.stack(list(inputs))
        maybe('forward')
        outputs = self.layer(inputs)
        return dict(loss=self.loss(outputs)) if mode == 'loss' else list(outputs)


@HOOKS.register_module()
class FailingHook(Hook):
    def before_run(self, runner):
        maybe('hook before_run')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        maybe('hook before_train_iter')


@OPTIM_WRAPPERS.register_module()
class FailingOptimWrapper(OptimWrapper):
    def step(self, **kwargs):
        maybe('optimizer step')
        super().step(**kwargs)


@PARAM_SCHEDULERS.register_module()
class FailingScheduler(LinearParamScheduler):
    def _get_value(self):
        if self.last_step > 0:  # the first one belongs to its construction
            maybe('scheduler step')
        return super()._get_value()


@METRICS.register_module()
class FailingMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        maybe('metric process')
        self.results.append(1)

    def compute_metrics(self, results):
        maybe('metric evaluate')
        return dict(count=len(results))


CONFIG = """
loader = dict(
    batch_size=2,
    dataset=dict(type='FailingPictures', pipeline=[dict(type='FailingTransform')]),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
model = dict(type='FailingModel')
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(type='FailingMetric')
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = test_cfg = dict()
optim_wrapper = dict(type='FailingOptimWrapper', optimizer=dict(type='SGD', lr=0.1))
param_scheduler = [
    dict(type='FailingScheduler', param_name='lr', start_factor=0.5, by_epoch=False, end=9)
]
custom_hooks = [dict(type='FailingHook')]
randomness = dict(seed=1)
"""
TRAINING = (
    'hook before_run', 'hook before_train_iter', '__getitem__', 'transform', 'forward', 'loss',
    'optimizer step', 'scheduler step', 'metric process', 'metric evaluate',
)  # fmt: skip
TESTING = ('__getitem__', 'transform', 'forward', 'metric process', 'metric evaluate')


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr(f'{__name__}.failing', None)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('failing') / 'config.py'
    path.write_text(CONFIG)
    return str(path)


def run(tool, *arguments, work_dir):
    load_tool(tool).main([*map(str, arguments), '--work-dir', str(work_dir)])


@pytest.fixture(scope='module')
def checkpoint(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        run('train', config, work_dir=folder)
    return folder / 'epoch_1.pth'


@pytest.mark.parametrize('stage', TRAINING)
def test_training(config, tmp_path, monkeypatch, stage):
    monkeypatch.setattr(f'{__name__}.failing', stage)
    with pytest.raises(ValueError, match='^of the user$') as raised:
        run('train', config, work_dir=tmp_path)
    assert raised.value is ERROR


@pytest.mark.parametrize('stage', TESTING)
def test_testing(config, checkpoint, tmp_path, monkeypatch, stage):
    monkeypatch.setattr(f'{__name__}.failing', stage)
    with pytest.raises(ValueError, match='^of the user$') as raised:
        run('test', config, checkpoint, work_dir=tmp_path)
    assert raised.value is ERROR


def test_nothing_fails(config, checkpoint, tmp_path, capsys):
    run('test', config, checkpoint, work_dir=tmp_path)
    assert 'count: 2.00' in capsys.readouterr().out


@pytest.mark.parametrize('kind', [torch.cuda.OutOfMemoryError, MemoryError])
def test_a_lack_of_memory_is_no_mistake_of_the_config(config, tmp_path, monkeypatch, kind):
    def build(self):
        raise kind('no memory left')

    monkeypatch.setattr(FailingModel, '__init__', build)
    with pytest.raises(kind, match='^no memory left$'):
        run('train', config, work_dir=tmp_path)


@pytest.mark.parametrize(
    'option, message',
    [
        (
            'optim_wrapper.optimizer.lr=-1.0',
            r'^optim_wrapper cannot be used: ValueError: Invalid learning rate: -1\.0 .*Given was',
        ),
        ('model.type=nn', r'model\.type "nn" is not registered'),
        (
            'train_dataloader.dataset.pipeline.0.fail=True',
            r"train_dataloader\.dataset\.pipeline\.0 cannot be used: KeyError: 'not to be built' "
            r'\(.*test_errors_of_the_run\.py:\d+\)\. '
            r"Given was \{'type': 'FailingTransform', 'fail': T",
        ),
    ],
)
def test_what_cannot_be_built_names_its_key(config, tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        run('train', config, '--cfg-options', option, work_dir=tmp_path)


@pytest.mark.parametrize(
    'part, key',
    [
        ('FailingModel', 'model'),
        ('FailingPictures', 'train_dataloader'),
        ('FailingHook', 'custom_hooks'),
        ('FailingMetric', 'val_evaluator'),
        ('FailingScheduler', 'param_scheduler'),
        ('FailingOptimWrapper', 'optim_wrapper'),
    ],
)
def test_every_part_has_its_key(config, tmp_path, monkeypatch, part, key):
    def build(self, *args, **kwargs):
        raise KeyError('not to be built')

    monkeypatch.setattr(globals()[part], '__init__', build)
    match = rf"^{key}(\.0)? cannot be used: KeyError: 'not to be built'.*Given was .*{part}"
    with pytest.raises(ValueError, match=match) as raised:
        run('train', config, work_dir=tmp_path)
    assert isinstance(raised.value.__cause__, KeyError)
