"""Fault: a transform that fails at the first image that it hits, which at random may be late.

Expected: each wrong value in a transform of a shipped config is refused before any image, or harms
none.
"""

import copy
import itertools

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from models import CONFIGS
from mutations import STRANGE
from PIL import Image

from mmcskd.checks.config_check import check_config


def places(part, path=()):
    """Paths of all values that a config can change."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


@pytest.fixture(scope='module')
def transforms():
    """Each transform of a shipped config once."""
    found = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        if {'_base_', 'evidence', 'transfer'} & set(path.parts):
            continue
        cfg = Config.fromfile(path)
        for key in ('train_dataloader', 'val_dataloader'):
            dataset = cfg.get(key, {}).get('dataset', {})
            dataset = dataset.get('dataset', dataset)
            found.update((repr(step), step.to_dict()) for step in dataset.get('pipeline', ()))
    return list(found.values())


@pytest.mark.slow
def test_wrong_values_are_refused_before_an_image_or_harm_none(transforms, tmp_path, monkeypatch):
    """Transforms that hit at random hit each time."""
    monkeypatch.setattr(np.random, 'rand', lambda: 0.0)
    pixels = np.random.RandomState(0).randint(0, 255, (48, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.jpeg')
    image = dict(img=pixels, img_path=str(tmp_path / 'a.jpeg'), img_shape=(48, 40), gt_label=1)
    cfg = Config.fromfile(CONFIGS / 'demo' / 'cskd_vit_resnet18.py')
    harmless, refused, late = 0, 0, []
    for step, value in itertools.product(transforms, STRANGE):
        for path in places(step) if value != 10**9 else ():
            changed = part = copy.deepcopy(step)
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
            cfg.train_dataloader.dataset.pipeline = [changed]
            try:
                with DefaultScope.overwrite_default_scope('mmpretrain'):
                    check_config(cfg, ['train'])
                    transform = TRANSFORMS.build(changed)
            except Exception:  # what the run then says is in test_run_fuzz.py
                refused += 1
                continue
            try:
                for _ in range(20):  # of 14 policies RandAugment takes two each time
                    transform(copy.deepcopy(image))
                harmless += 1
            except Exception as error:
                late.append(f'{step["type"]}.{path} = {value!r}: {type(error).__name__}: {error}')
    assert not late, '\n'.join(late)
    assert refused > 2000 and harmless > 100
