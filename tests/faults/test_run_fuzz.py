"""Fault: a config that is wrong where MMEngine reads it. Expected: it runs, or we say so.

Each mutation changes one key of loops, dataloaders with their pipelines, data preprocessor,
optimizer, schedules, evaluators, hooks or environment of a shipped config. The dataset is ten
photographs, the model one convolution.
"""

import os

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import MODELS
from models import CONFIGS
from mutations import parts_of_a_run, try_mutations
from PIL import Image
from torch import nn

COUNT = int(os.environ.get('MMCSKD_FAULTS_FUZZ', 200))
MODEL = dict(
    type='ImageClassifier',
    backbone=dict(type='AnySize'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=8),
)


@MODELS.register_module()
class AnySize(nn.Module):
    """One convolution over 16 × 16 means of an image."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(16), nn.Conv2d(3, 8, 8, stride=8))

    def forward(self, images):
        return (self.layers(images),)


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
        part = parts_of_a_run(cfg, MODEL)
        part.setdefault('data_preprocessor', {})['num_classes'] = 10
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
        found.setdefault(repr(part), (path.stem, part))
    return list(found.values())


@pytest.mark.parametrize('count', [25, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_one_mutation(shipped, tmp_path, count, record_property):
    """Runs, or ends with a ValueError or TypeError of this package that names a key."""
    assert len(shipped) >= 5
    counts, wrong = try_mutations(shipped, count, tmp_path)
    for outcome, number in counts.items():
        record_property(outcome, number)
    assert not wrong, '\n'.join(wrong)
    assert counts['refused by the key'] > count / 5 and counts['ran'] > count / 20, counts
