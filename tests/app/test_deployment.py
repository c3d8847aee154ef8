import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_run import write_run
from models import build, student_config
from torch import nn

from mmcskd.app import deployment
from mmcskd.app.deployment import (
    check_target,
    export_run,
    flops,
    measure_deployment,
    open_step,
    val_images,
)
from mmcskd.app.run import Run


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run') / 'out')


def test_flops():
    """By hand: two for each multiplication."""
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))
    assert flops(layers, torch.zeros(1, 3, 4, 4)) in (None, 2 * (16 * 27 * 8 + 128 * 5))


def test_flops_of_attention():
    """2 layers, width 24, 66 tokens: queries, keys, values and output, attention, a net of 48."""
    tokens, width = 66, 24
    layer = 2 * tokens * width * (4 * width + 2 * 48) + 2 * 2 * tokens * tokens * width
    patches = 2 * 64 * 48 * width
    heads = 2 * width * 7 * 2
    model = build(student_config(vote=('cls', 'dist'))).eval()
    counted = flops(model, torch.zeros(1, 3, 32, 32))
    if counted is None:
        pytest.skip('torch < 2.3 does not count attention')
    assert counted == 2 * layer + patches + heads


def test_images_are_those_of_the_run(out):
    """Of val, in its order, preprocessed as in the run."""
    batches = list(val_images(*open_step(Run(out), 'student')))
    assert [tuple(batch.shape) for batch in batches] == [(16, 3, 32, 32)] * 7 + [(8, 3, 32, 32)]


def test_measures(out, monkeypatch):
    monkeypatch.setattr(deployment, 'SECONDS', 0.01)
    found = json.loads(measure_deployment(out).read_text())
    assert set(found) == {'teacher', 'baseline', 'student', 'machine'}
    for step in ('teacher', 'student'):
        state = torch.load(out / step / 'best.pth', weights_only=True)['state_dict']
        learned = {name: value for name, value in state.items() if 'running' not in name}
        count = sum(v.numel() for name, v in learned.items() if 'num_batches' not in name)
        assert found[step]['params'] == count
        assert 0 < found[step]['latency_ms']['1'] < found[step]['latency_ms']['32']
    assert found['machine'].endswith(('thread', 'threads'))


def test_a_runtime_that_is_not_installed(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(
        ValueError, match=r'--to openvino needs .* `pip install onnx onnxscript open'
    ):
        check_target('openvino')
    check_target('mmpretrain')


@pytest.mark.slow
def test_onnx(out, tmp_path):
    """Also in 8 bits, whose accuracy on val is that of its answers."""
    lines = export_run(out)
    assert 'Check on 16 pictures of val: logits as expected' in ' '.join(lines)
    found = json.loads((out / 'export.json').read_text())
    assert found['file'] == 'student.onnx' and found['agreement'] == 1
    assert found['max_difference'] < 1e-4
    images = np.concatenate(
        [batch.numpy() for batch in val_images(*open_step(Run(out), 'student'))]
    )
    with np.load(out / 'student' / 'predictions.npz') as stored:
        labels = stored['labels_val']
    for file, accuracy in (
        (found['file'], found['int8']['accuracy_val_float']),
        (found['int8']['file'], found['int8']['accuracy_val']),
    ):
        answers = deployment.onnx_answer(out / file)(images).argmax(1)
        assert accuracy == pytest.approx(100 * (answers == labels).mean())
    assert (out / 'student.int8.onnx').stat().st_size != (out / 'student.onnx').stat().st_size
    with pytest.raises(
        ValueError, match=r'student\.onnx" exists: take another name or add --force'
    ):
        export_run(out)


@pytest.mark.slow
@pytest.mark.parametrize('to', ['mmpretrain', 'safetensors', 'timm', 'openvino'])
def test_other_libraries(out, tmp_path, to):
    if to == 'openvino':
        pytest.importorskip('openvino')
    path = tmp_path / f'student{deployment.SUFFIXES.get(to, ".pth")}'
    assert 'logits as expected' in ' '.join(export_run(out, to, path))
    assert path.is_file()


@pytest.mark.slow
def test_a_file_that_answers_otherwise(out, tmp_path, monkeypatch):
    written = deployment._written
    monkeypatch.setattr(deployment, '_written', lambda *a: lambda x: written(*a)(x) + 1)
    with pytest.raises(ValueError, match=r'--to mmpretrain: .* answers otherwise than the student'):
        export_run(out, 'mmpretrain', Path(tmp_path / 'a.pth'))
