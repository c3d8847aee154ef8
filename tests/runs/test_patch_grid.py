"""Equal shapes are no proof of equal grids: 36 patches are 6 × 6 or 4 × 9."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from models import algorithm_config, build, student_config

from mmcskd.app.runner import naming
from mmcskd.runs.patch_grid import own_grid, saved_grid
from mmcskd.runs.weights import load_weights

CFG = "model = dict({}=dict(backbone=dict(type='VisionTransformer', img_size={}, patch_size=4)))"
PATH = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'
DEIT = f"model = dict(architecture=dict(type='X', cfg_path='{PATH}'{{}}))"


def student(size=(24, 24)):
    config = student_config()
    config['backbone']['img_size'] = size
    return config


@pytest.mark.parametrize(
    'meta, grid',
    [
        (dict(grid=[4, 9]), (4, 9)),
        (dict(cfg=CFG.format('architecture', (16, 36))), (4, 9)),
        (dict(cfg=CFG.format('architecture', 24)), (6, 6)),
        (dict(cfg=DEIT.format('')), (14, 14)),
        (dict(cfg=DEIT.format(', backbone=dict(img_size=(64, 144))')), (4, 9)),
        (dict(cfg=DEIT.format('').replace('deit-tiny', 'gone')), None),
        (dict(cfg=DEIT.format('').replace('mmpretrain::', '/tmp/')), None),
        (dict(grid=[4, '9']), None),
        (dict(), None),
        (None, None),
    ],
)
def test_what_a_checkpoint_says(meta, grid):
    assert saved_grid(dict(state_dict={}, meta=meta)) == grid


def test_what_a_model_says():
    assert own_grid(build(student((16, 36)))) == (4, 9)
    assert own_grid(torch.nn.Linear(2, 2)) is None


@pytest.mark.parametrize('door', ['load_weights', 'load_from'])
def test_another_grid_of_as_many_patches_is_refused(door, tmp_path, monkeypatch):
    path = str(tmp_path / 'a.pth')

    def load(meta):
        torch.save(dict(state_dict=build(student()).state_dict(), meta=meta), path)
        if door == 'load_weights':
            return load_weights(build(student()), path, key='CHECKPOINT')
        model = build(algorithm_config(architecture=student()))
        name = f'{tmp_path.name}_{len(list(tmp_path.iterdir()))}'
        runner = naming(Runner)(model, str(tmp_path), load_from=path, experiment_name=name)
        runner.load_or_resume()

    with pytest.raises(ValueError, match='4 × 9 patches, but the model has 6 × 6'):
        load(dict(cfg=CFG.format('architecture', (16, 36))))
    load(dict(cfg=CFG.format('architecture', 24)))
    said = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, text: said.append(text))
    load({})
    assert any('does not say the grid of its position embeddings' in text for text in said)
