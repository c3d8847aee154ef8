"""`mmcskd distill` on a device: its precision, where it evaluates and what it measures."""

import json

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config

import mmcskd


@pytest.mark.slow
def test_a_folder_is_distilled(device, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCSKD_HOME', str(tmp_path / 'home'))
    if device == 'cpu':
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    drawn = np.random.RandomState(0)
    for name, most in (('dark', 90), ('light', 255)):
        for index in range(20):
            image = drawn.randint(most // 2, most, (16, 16, 3), dtype=np.uint8)
            mmcv.imwrite(image, str(tmp_path / 'photos' / name / f'{index}.png'))
    run = mmcskd.distill(
        tmp_path / 'photos', out=tmp_path / 'out', epochs=2, teacher_epochs=1, augment='light'
    )
    assert 0 <= run.accuracy <= 100
    wrapper = Config.fromfile(run.out / 'student' / 'config.py').optim_wrapper
    halves = device == 'cuda' and torch.cuda.is_bf16_supported()
    assert ('Amp' in wrapper.get('type', '')) == halves
    measured = json.loads((run.out / 'deployment.json').read_text())
    on_gpu = device == 'cuda'
    assert (on_gpu and torch.cuda.get_device_name() in measured['machine']) == on_gpu
    assert measured['student']['latency_ms']['1'] > 0
