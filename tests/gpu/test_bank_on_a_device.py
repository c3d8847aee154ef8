"""A bank made on a device and read there, and one made on a CPU."""

import sys

import gpu_runs
import pytest
import torch
from bank_runs import EPOCHS, config, train
from mmengine.config import Config
from models import build
from tool_runs import ROOT, run

from mmcskd.bank.bank_writer import BankWriter

EXACT = {'randomness.deterministic': True}
WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import gpu_runs
from test_bank_on_a_device import write
write(Path({home!r}), 'of_cpu')
"""


def write(home, name):
    BankWriter(config(home, f'write_{name}', **EXACT), str(home / name)).write(0, EPOCHS)


@pytest.fixture
def home(tmp_path):
    """A folder with a teacher's weights."""
    teacher = build(Config.fromfile(ROOT / 'configs/demo/cskd_vit_resnet18.py').model.teacher)
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    return tmp_path


@pytest.mark.slow
def test_made_and_read(device, home, monkeypatch):
    """Made here: the run with the teacher, to the last bit. Made on a CPU: its views are accepted.

    Its labels are the CPU's then, another class where two are equal but for rounding.
    """
    live, weights = train(config(home, 'live', **EXACT))
    write(home, 'of_here')
    banked, same = train(config(home, 'banked', home / 'of_here', **EXACT))
    assert banked == live
    assert all(torch.equal(value, same[name]) for name, value in weights.items())

    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    folder = str(gpu_runs.TESTS / 'gpu')
    run(sys.executable, '-c', WRITE.format(tests=folder, home=str(home)), cwd=home)
    moved, _ = train(config(home, 'moved', home / 'of_cpu', **EXACT))
    assert len(moved) == len(live)
    for found, wanted in zip(moved, live):
        assert found['loss_cskd'] == pytest.approx(wanted['loss_cskd'], rel=0.01)
        assert found['loss_deit'] == pytest.approx(wanted['loss_deit'], rel=0.01)
