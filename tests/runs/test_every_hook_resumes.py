"""Every hook of MMEngine and MMPretrain resumes exactly, or is refused before training."""

import copy
import importlib.util
import itertools
import math
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models import ArcFaceClsHead
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset

from mmcskd import AtomicCheckpointHook

NUMBERS = itertools.count()
ITERATIONS, EPOCHS = 4, 4  # of an epoch, of a run


@TRANSFORMS.register_module()
class AddNoise:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, point):
        return dict(point, inputs=point['inputs'] + self.scale * torch.rand(4))


class Points(Dataset):
    metainfo = dict(classes=('a', 'b', 'c'))
    CLASSES = metainfo['classes']
    labels = (0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2)

    def __init__(self):
        self.pipeline = AddNoise(0.1)

    def get_gt_labels(self):
        return self.labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        sample = DataSample().set_gt_label(self.labels[index])
        return self.pipeline(dict(inputs=torch.arange(4.0) + index / 12, data_samples=sample))


class Classifier(BaseModel):
    """All that a hook of MMPretrain may look for."""

    def __init__(self):
        super().__init__()
        self.loss_lambda = 0.1
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.predictor = nn.Linear(8, 8)
        self.predictor.weight_of_loss = 1.0
        self.head = ArcFaceClsHead(num_classes=3, in_channels=8)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.predictor(self.body(inputs))
        if mode == 'loss':
            loss = self.head.loss((features,), data_samples)['loss']
            more = self.loss_lambda * self.predictor.weight_of_loss * features.square().mean()
            return dict(loss=loss + more)
        return features if mode == 'tensor' else self.head.predict((features,), data_samples)


class Certainty(BaseMetric):
    """Of the right class; a number of all weights."""

    def process(self, data_batch, data_samples):
        self.results += [float(one['pred_score'][one['gt_label']]) for one in data_samples]

    def compute_metrics(self, results):
        return dict(score=sum(results) / len(results))


class Interrupted(Exception):
    pass


class Stop(Hook):
    priority = 'LOWEST'

    def __init__(self, iteration):
        self.iteration = iteration


class StopInTheEpoch(Stop):
    """Saves, as on SIGTERM."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            hook = next(hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook))
            hook.save_now(runner)
            raise Interrupted


class StopBeforeValidation(Stop):
    def before_val_epoch(self, runner):
        if runner.iter == self.iteration:
            raise Interrupted


def run(place, hooks=(), resume=False, iterations=False, **options):
    """A small run with the hooks of mmcskd; returns the runner after its end."""
    torch.manual_seed(0)
    loader = dict(
        batch_size=3,
        num_workers=0,
        dataset=Points(),
        collate_fn=dict(type='default_collate'),
    )
    loop = dict(by_epoch=not iterations, val_interval=4 if iterations else 1)
    loop['max_iters' if iterations else 'max_epochs'] = EPOCHS * (ITERATIONS if iterations else 1)
    sampler = 'InfiniteSampler' if iterations else 'DefaultSampler'
    config = dict(
        model=Classifier(),
        work_dir=str(place),
        train_dataloader=dict(loader, sampler=dict(type=sampler, shuffle=True)),
        train_cfg=loop,
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_cfg=dict(),
        val_evaluator=[Certainty()],
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.002, momentum=0.9),
            paramwise_cfg=dict(custom_keys=dict(predictor=dict(fix_lr=True))),
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=20)],
        default_hooks=dict(
            runtime_info=dict(type='mmrazor.DeferredRuntimeInfoHook'),
            checkpoint=dict(
                type='mmrazor.AtomicCheckpointHook', interval=4 if iterations else 1,
                by_epoch=not iterations, save_best='score', rule='greater',
            ),
            exact_resume=dict(type='mmrazor.ExactResumeHook'),
        ),
        custom_hooks=list(hooks),
        randomness=dict(seed=1),
        default_scope='mmpretrain',
        experiment_name=f'hooks_{next(NUMBERS)}',
        resume=resume,
    )  # fmt: skip
    config.update(options)
    runner = Runner(**config)
    runner.train()
    return runner


def state(runner):
    """What must be the same at the end."""
    scores = runner.message_hub.get_scalar('val/score').data[0].tolist()
    assert all(map(math.isfinite, scores))
    return dict(
        scores=scores,
        iteration=runner.iter,
        weights={name: value.tolist() for name, value in runner.model.state_dict().items()},
        lr=runner.optim_wrapper.get_lr(),
        files=sorted(path.name for path in Path(runner.work_dir).glob('*.pth')),
    )


def resumed(place, hooks=(), **options):
    """The same run, interrupted twice."""
    for stop in (StopInTheEpoch(ITERATIONS + 2), StopBeforeValidation(2 * ITERATIONS)):
        with pytest.raises(Interrupted):
            run(place, [*hooks, stop], resume=True, **options)
    return run(place, hooks, resume=True, **options)


PIPELINE = [dict(type='AddNoise', scale=3.0)]
ARGUMENTS = dict(
    EarlyStoppingHook=dict(monitor='score', rule='greater', min_delta=0.9, patience=2),
    EMAHook=dict(momentum=0.1),
    PrepareTTAHook=dict(tta_cfg=dict()),
    WarmupParamHook=dict(param_name='weight_of_loss', module_name='predictor', warmup_epochs=3),
    DenseCLHook=dict(start_iters=10),
    PreciseBNHook=dict(num_samples=6, priority='ABOVE_NORMAL'),
    SimSiamHook=dict(fix_pred_lr=True, lr=0.05),
    SwAVHook=dict(batch_size=3),
    SwitchRecipeHook=dict(
        schedule=[
            dict(action_epoch=2, train_pipeline=PIPELINE),
            dict(action_epoch=4, loss=dict(type='LabelSmoothLoss', label_smooth_val=0.2)),
        ]
    ),
)


def stock_hooks():
    """The types, with their scopes."""
    for registry in (HOOKS, HOOKS.children['mmpretrain']):
        for name, kind in registry.module_dict.items():
            if kind.__module__.startswith(('mmengine.', 'mmpretrain.')):
                yield f'{registry.scope}.{name}'


def test_the_registries_are_found():
    assert len(list(stock_hooks())) >= 24


def options_of(name):
    return dict(type=name, **ARGUMENTS.get(name.split('.')[1], {}))


REFUSED = {
    'SwAVHook': 'a file of its own',
    'SimSiamHook': r'custom_hooks.*adjust_by_epoch=False',
}
LOOPS = pytest.mark.parametrize('iterations', [False, True], ids=['epochs', 'iterations'])


@pytest.mark.slow
@LOOPS
@pytest.mark.parametrize('name', stock_hooks())
def test_a_stock_hook(tmp_path, name, iterations):
    kind = name.split('.')[1]
    hook = options_of(name)
    if kind == 'NPUProfilerHook' and not importlib.util.find_spec('torch_npu'):
        with pytest.raises(ImportError):
            HOOKS.build(hook)
    elif kind in REFUSED or (kind == 'PreciseBNHook' and iterations):
        with pytest.raises(ValueError, match=REFUSED.get(kind, 'in a loop of iterations')):
            run(tmp_path, [hook], iterations=iterations)
    else:
        check(tmp_path, hooks=[hook], iterations=iterations)


def check(place, **options):
    whole = run(place / 'whole', **copy.deepcopy(options))
    again = resumed(place / 'again', **options)
    assert state(again) == state(whole)
    return whole


@LOOPS
def test_early_stopping(tmp_path, iterations):
    """Its count goes on, and the run ends where it would have ended."""
    hook = options_of('mmengine.EarlyStoppingHook')
    whole = check(tmp_path, hooks=[hook], iterations=iterations)
    assert whole.iter == 3 * ITERATIONS
    finished = run(tmp_path / 'again', [hook], resume=True, iterations=iterations)
    assert finished.iter == 3 * ITERATIONS


@pytest.mark.slow
def test_the_lr_of_simsiam_by_iteration(tmp_path):
    hook = dict(options_of('mmpretrain.SimSiamHook'), adjust_by_epoch=False)
    check(tmp_path, hooks=[hook])


@pytest.mark.slow
@LOOPS
def test_plateau(tmp_path, iterations):
    """The learning rate falls where it would have fallen."""
    plateau = dict(
        type='ReduceOnPlateauLR', monitor='score', rule='greater', patience=0, factor=0.5,
        threshold=9.0,
    )  # fmt: skip
    whole = check(tmp_path, param_scheduler=[plateau], iterations=iterations)
    assert whole.optim_wrapper.get_lr()['lr'][0] == 0.002 / (8 if iterations else 4)
