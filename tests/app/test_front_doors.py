"""MMPretrain's own tools and functions run a CSKD config and take an exported student."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.utils import get_installed_path
from mmpretrain import ImageClassificationInferencer, get_model
from mmpretrain.registry import DATASETS, MODELS

from mmcskd.export.export_student import export_student
from mmcskd.export.student_checkpoint import load_student

pytestmark = [pytest.mark.slow, pytest.mark.both_stacks]
ROOT = Path(__file__).parents[2]
TOOLS = Path(get_installed_path('mmpretrain')) / '.mim' / 'tools'
# The tool asks for workers that persist; the demo's loaders have none.
TRAIN_ARGUMENTS = ('--work-dir', 'run', '--no-persistent-workers', '--no-pin-memory')
CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py')!r}
model = dict(teacher_ckpt=None, random_teacher=True)
train_dataloader = dict(batch_size=8, dataset=dict(length=32))
val_dataloader = dict(batch_size=20, dataset=dict(length=40))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='ConstantLR', factor=1.0)]
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.5)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def run(cwd, *command):
    """A program in another directory than the repository's."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def scalars(folder):
    """What the run logged, a dictionary a line."""
    (path,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A directory in which MMPretrain's train.py has trained a student."""
    folder = tmp_path_factory.mktemp('elsewhere')
    (folder / 'config.py').write_text(CONFIG)
    run(folder, TOOLS / 'train.py', 'config.py', *TRAIN_ARGUMENTS)
    return folder


def test_train(folder):
    lines = scalars(folder / 'run')
    weights = [line['fusion_weight'] for line in lines if 'loss_cskd' in line]
    assert weights == pytest.approx([1.0, 0.75, 0.5, 0.25])
    parts = ('loss_base', 'loss_deit', 'loss_cskd')
    for line in lines:
        if 'loss_cskd' in line:
            assert line['loss'] == pytest.approx(sum(line[part] for part in parts), rel=1e-4)
    content = torch.load(folder / 'run' / 'epoch_1.pth')
    assert all(name.startswith('architecture.') for name in content['state_dict'])
    assert any(
        not torch.equal(value, content['ema_state_dict'][f'module.{name}'])
        for name, value in content['state_dict'].items()
    )


def test_test(folder):
    """The accuracy that MMPretrain's test.py finds is the one by hand, of all voters."""
    out = ('--work-dir', 'tested', '--out', 'metrics.json', '--out-item', 'metrics')
    run(folder, TOOLS / 'test.py', 'config.py', 'run/epoch_1.pth', '--no-pin-memory', *out)
    metrics = mmengine.load(folder / 'metrics.json')

    student = load_student(str(folder / 'run' / 'epoch_1.pth'))
    assert student.weights == 'averaged'
    images, labels = canvases()
    with torch.no_grad():
        ranks = student.model(images).argsort(1, descending=True)
    for k in (1, 5):
        right = (ranks[:, :k] == labels[:, None]).any(1).float().mean() * 100
        assert metrics[f'accuracy/top{k}'] == pytest.approx(float(right), abs=1e-3)
    # Validation, in training, saw the same averaged weights.
    assert scalars(folder / 'run')[-1]['accuracy/top1'] == pytest.approx(metrics['accuracy/top1'])


def canvases(n=40):
    """The test set as it reaches the student."""
    dataset = DATASETS.build(dict(type='ClutteredDigits', split='test', length=n))
    images = torch.stack([torch.tensor(dataset[i]['img']) for i in range(n)]).permute(0, 3, 1, 2)
    return (images - 32.0) / 64.0, torch.tensor([dataset[i]['gt_label'] for i in range(n)])


def test_get_model_and_inferencer(folder):
    checkpoint = str(folder / 'run' / 'epoch_1.pth')
    weights, config = str(folder / 'student.pth'), str(folder / 'student.py')
    export_student(checkpoint, weights)
    student = load_student(checkpoint).model
    student.vote = ('cls', 'dist')
    images, _ = canvases()
    model = get_model(config, pretrained=weights)
    assert type(model.head) is MODELS.get('DeiTClsHead')
    with torch.no_grad():
        expected = student(images)
        torch.testing.assert_close(model(images), expected)

    inferencer = ImageClassificationInferencer(config, pretrained=weights)
    pictures = [(image * 64 + 32).permute(1, 2, 0).byte().numpy() for image in images[:3]]
    for result, logits in zip(inferencer(pictures, batch_size=2), expected):
        torch.testing.assert_close(torch.tensor(result['pred_scores']), logits.softmax(0))
        assert result['pred_class'] == str(int(logits.argmax()))


@pytest.mark.skipif(
    importlib.util.find_spec('mim') is None,
    reason='openmim is not installed: its requirements pin setuptools, requests and rich to old '
    'versions, so it is no requirement of the tests',
)
def test_mim_train(tmp_path):
    (tmp_path / 'config.py').write_text(CONFIG)
    mim = ('-c', 'from mim.cli import cli; cli()', 'train', 'mmpretrain', 'config.py', '--gpus', 0)
    said = run(tmp_path, *mim, *TRAIN_ARGUMENTS)
    assert re.search('Training finished successfully', said)
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
