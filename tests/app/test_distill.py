"""`mmcskd distill` and `mmcskd.distill`: from a folder of pictures to an evaluated student."""

import json
import subprocess
import sys
from pathlib import Path

import mmcv
import numpy as np
import pytest

import mmcskd
import mmcskd_cli

ROOT = Path(__file__).parents[2]
TINY = [
    *('--teacher', 'small-cnn', '--student', 'small-vit', '--epochs', '2', '--teacher-epochs', '1'),
    *('--augment', 'light'),
]
SMALL = dict(teacher='small-cnn', student='small-vit', epochs=2, teacher_epochs=1, augment='light')


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCSKD_HOME', str(tmp_path / 'home'))


@pytest.fixture
def photos(tmp_path):
    """Two classes of 16 × 16 pictures, of which one is darker; 20 of each."""
    drawn = np.random.RandomState(0)
    for name, most in (('dark', 90), ('light', 255)):
        (tmp_path / 'photos' / name).mkdir(parents=True)
        for index in range(20):
            image = drawn.randint(most // 2, most, (16, 16, 3), dtype=np.uint8)
            mmcv.imwrite(image, str(tmp_path / 'photos' / name / f'{index}.png'))
    return tmp_path / 'photos'


def test_the_help_imports_nothing_heavy():
    code = (
        'import sys, mmcskd_cli\n'
        'try:\n    mmcskd_cli.main(["distill", "--help"])\nexcept SystemExit: pass\n'
        'print(sorted({"mmcskd", "torch", "numpy", "mmengine"} & set(sys.modules)))'
    )
    told = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert told.stdout.splitlines()[-1] == '[]'
    assert '--teacher NAME' in told.stdout


def test_a_dry_run_writes_configs_and_trains_nothing(photos, tmp_path, capsys):
    out = tmp_path / 'out'
    assert mmcskd_cli.main(['distill', str(photos), '--out', str(out), '--dry-run', *TINY]) == 0
    assert str(out / 'student' / 'config.py') in capsys.readouterr().out
    assert sorted(path.name for path in (out / 'student').iterdir()) == ['config.py', 'fingerprint']
    config = (out / 'student' / 'config.py').read_text()
    assert "type='FrozenTeacherDistill'" in config and 'max_epochs=2' in config


def test_both_interfaces_write_the_same(photos, tmp_path):
    mmcskd_cli.main(['distill', str(photos), '--out', str(tmp_path / 'out'), '--dry-run', *TINY])
    written = {path: path.read_bytes() for path in tmp_path.glob('out/*/*') if path.is_file()}
    mmcskd.distill(photos, out=tmp_path / 'out', dry_run=True, **SMALL)
    assert {path: path.read_bytes() for path in written} == written
    assert len(written) > 7


def test_an_error_is_one_sentence_and_no_traceback(photos, tmp_path, capsys):
    arguments = ['distill', str(photos), '--out', str(tmp_path / 'out'), *TINY]
    arguments += ['--student', 'smal-vit']
    assert mmcskd_cli.main(arguments) == 2
    assert capsys.readouterr().err == (
        'mmcskd: --student "smal-vit" is no model of MMPretrain (mmcskd models lists them). '
        'Nearest: "small-vit", "small-cnn".\n'
    )
    with pytest.raises(ValueError, match='smal-vit'):
        mmcskd_cli.main(['--debug', *arguments])


@pytest.mark.slow
def test_a_whole_run_is_evaluated_and_not_repeated(photos, tmp_path, capfd):
    out = tmp_path / 'out'
    assert mmcskd_cli.main(['distill', str(photos), '--out', str(out), '--baseline', *TINY]) == 0
    for step in ('teacher', 'student', 'baseline'):
        metrics = json.loads((out / step / 'metrics.json').read_text())
        assert metrics['val']['n'] == metrics['test']['n'] == 6
        with np.load(out / step / 'predictions.npz') as found:
            right = (found['probs_test'].argmax(1) == found['labels_test']).sum()
        assert metrics['test']['correct'] == right
    run = mmcskd.Run(out)
    assert run.accuracy == pytest.approx(100 * run.metrics['student']['test']['correct'] / 6)
    before = (out / 'student' / 'last_checkpoint').stat().st_mtime_ns
    capfd.readouterr()
    mmcskd_cli.main(['distill', str(photos), '--out', str(out), '--baseline', *TINY])
    assert capfd.readouterr().out.count('is there already') == 3
    assert (out / 'student' / 'last_checkpoint').stat().st_mtime_ns == before
