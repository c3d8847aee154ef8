"""Fault: a config that is wrong where MMEngine reads it. Expected: it runs, or we say so.

Each mutation changes one key of loops, dataloaders with their pipelines, data preprocessor,
optimizer, schedules, evaluators, hooks or environment of a shipped config. The dataset is ten
photographs, the model one convolution.
"""

import copy
import os
import random
import re
from collections import Counter

import numpy as np
import pytest
from fault_runs import At
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from mmpretrain.registry import MODELS
from models import CONFIGS
from mutations import STRANGE, changed, chosen_seed, names_a_key
from PIL import Image
from torch import nn

from mmcskd.app.runner import build_runner
from mmcskd.checks.config_check import check_config, check_scope

COUNT = int(os.environ.get('MMCSKD_FAULTS_FUZZ', 5000)) // 25
# Not numbers that are valid and would take for ever, or make images of one pixel.
VALUES = tuple(each for each in STRANGE if type(each) is not int or each not in (1, 10**9))
MODEL = dict(
    type='ImageClassifier',
    backbone=dict(type='AnySize'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=8),
)
# What the tools fill in or the test itself sets.
KEPT = ('model', 'work_dir', 'launcher', 'experiment_name', 'load_from', 'resume', 'custom_imports')
RUN = (
    'train_dataloader', 'val_dataloader', 'train_cfg', 'val_cfg', 'val_evaluator', 'optim_wrapper',
    'param_scheduler', 'default_hooks', 'custom_hooks', 'env_cfg', 'log_processor', 'log_level',
    'visualizer', 'randomness', 'auto_scale_lr', 'default_scope', 'data_preprocessor',
)  # fmt: skip


@MODELS.register_module()
class AnySize(nn.Module):
    """One convolution over 16 × 16 means of an image."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(16), nn.Conv2d(3, 8, 8, stride=8))

    def forward(self, images):
        return (self.layers(images),)


class Enough(Exception):
    """Two iterations ran."""


@pytest.fixture(scope='module')
def shipped(tmp_path_factory):
    """The shipped configs over ten photographs in place of their datasets, one of each kind."""
    root = tmp_path_factory.mktemp('photographs')
    for index in range(10):
        folder = root / 'abcdefghij'[index]
        folder.mkdir()
        pixels = np.random.RandomState(index).randint(0, 255, (48, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{index}.jpeg')
    found = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        if {'_base_', 'ablation', 'evidence', 'transfer'} & set(path.parts):
            continue
        cfg = Config.fromfile(path)
        if 'optim_wrapper' not in cfg or 'runner_type' in cfg:
            continue
        part = {key: copy.deepcopy(cfg[key]) for key in RUN if cfg.get(key) is not None}
        part = Config(part).to_dict()
        for key in ('train_dataloader', 'val_dataloader'):
            loader = part[key]
            pipeline = loader['dataset'].get('pipeline')
            while pipeline is None:
                loader['dataset'] = loader['dataset']['dataset']
                pipeline = loader['dataset'].get('pipeline')
            if 'Load' not in pipeline[0]['type']:
                pipeline.insert(0, dict(type='LoadWholeImage'))
            loader.update(
                dataset=dict(type='CustomDataset', data_root=str(root), pipeline=pipeline),
                batch_size=2, num_workers=0, persistent_workers=False,
            )  # fmt: skip
        part['custom_hooks'] = [
            dict(hook, momentum=0.01) if hook['type'] == 'EMAHook' else hook  # for a short run
            for hook in part.get('custom_hooks', [])
            if 'mmrazor' not in hook['type']
        ]
        part['model'] = MODEL
        part.setdefault('data_preprocessor', {})['num_classes'] = 10
        part['default_hooks'].pop('preemption', None)  # handlers of signals outlive a run
        found.setdefault(repr(part), (path.stem, part))
    return list(found.values())


def places(part, path=()):
    """Paths of all keys."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if not path and key in KEPT:
            continue
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def use(cfg, work_dir):
    """As tools/train.py does: check, build, train; two iterations, then validate."""
    cfg = Config(copy.deepcopy(cfg))
    cfg.update(work_dir=str(work_dir), experiment_name=work_dir.name, launcher='none')
    cfg.setdefault('default_scope', 'mmpretrain')
    check_scope(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        check_config(cfg)

    def enough(_):
        raise Enough

    runner = build_runner(cfg)
    runner.register_hook(At(2, enough))
    try:
        runner.train()
    except Enough:
        if runner.val_loop is not None:
            runner.val_loop.run()


def forget(name):
    """MMEngine keeps what a run had by its name."""
    for kind in (MMLogger, MessageHub, Visualizer):
        kind._instance_dict.pop(name, None)


@pytest.mark.parametrize('count', [25, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_one_mutation(shipped, tmp_path, count):
    """Runs, or ends with a ValueError or TypeError of this package that names a key."""
    seed = chosen_seed()
    draw = random.Random(seed)
    assert len(shipped) >= 5
    counts, wrong = Counter(), []
    for number in range(count):
        name, base = draw.choice(shipped)
        cfg = copy.deepcopy(base)
        path = draw.choice(list(places(cfg)))
        what, now, keys = changed(cfg, path, draw, VALUES)
        # Or what it is a part of, which the message then shows.
        keys += ['.'.join(map(str, path[:end])) for end in range(1, len(path))]
        work_dir = tmp_path / f'run_{number}'
        try:
            use(cfg, work_dir)
            counts['runs'] += 1
        except Exception as error:
            # A transform that refuses an image says in its own words what it was asked for.
            said = 'pipeline' in path and re.search(rf'\b{keys[0]} must', str(error), re.I)
            if said or names_a_key(error, keys):
                counts['refused'] += 1
            else:
                wrong.append(
                    f'{name}: {what} → {now!r}: {type(error).__name__}: {str(error)[:300]}'
                )
        forget(work_dir.name)
    assert not wrong, f'{len(wrong)} of {count}, {counts}, seed {seed}:\n' + '\n'.join(wrong)
    assert counts['refused'] > count / 4 and counts['runs'] > count / 20, counts
