"""`mmcskd distill` and `mmcskd.distill`: from a folder of pictures to an evaluated student."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

import mmcskd
import mmcskd_cli
from mmcskd.app.small_models import small_cnn

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


def test_the_student_learns_by_cskd_plus(photos, tmp_path):
    out = mmcskd.distill(photos, out=tmp_path / 'out', dry_run=True, **SMALL).out
    cfg = Config.fromfile(out / 'student' / 'config.py')
    assert cfg.model.distiller == cfg.cskd_plus_distiller  # of configs/_base_/distillers.py
    assert cfg.custom_hooks == []


def test_the_name_of_a_folder_decides_nothing(photos, tmp_path):
    """Photographs of teachers, say: only the teacher's own pictures are not recoloured."""
    texts = []
    for name in ('teachers', 'others'):
        out = tmp_path / name
        options = dict(SMALL, augment='photo', size=72)
        mmcskd.distill(photos, out=out, dry_run=True, **options)
        text = (out / 'student' / 'config.py').read_text()
        texts.append(text.replace(str(out), 'OUT'))
    assert texts[0] == texts[1] and 'RandAugment' in texts[0]
    assert 'RandAugment' not in (out / 'teacher' / 'config.py').read_text()


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
    command = [sys.executable, 'mmcskd_cli.py', 'distill', str(photos), '--out', str(out)]
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONWARNINGS'}
    said = subprocess.run(
        [*command, '--baseline', *TINY], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    # The whole terminal: nothing of the packages below, of whose words none concerns a user.
    assert said.stderr == ''
    kinds = r'Data|Teacher:|Student:|Baseline:|Export:|Report|Accuracy in|Next: |epoch +\d|  +\S'
    kinds += r'|(teacher|student|baseline), small-'
    lines = said.stdout.splitlines()
    assert [line for line in lines if line and not re.match(kinds, line)] == []
    assert not re.search('WARN|INFO|Loads checkpoint', said.stdout)
    assert sum(map(len, lines)) < 3000
    for step in ('teacher', 'student', 'baseline'):
        metrics = json.loads((out / step / 'metrics.json').read_text())
        assert metrics['val']['n'] == metrics['test']['n'] == 6
        with np.load(out / step / 'predictions.npz') as found:
            right = (found['probs_test'].argmax(1) == found['labels_test']).sum()
        assert metrics['test']['correct'] == right
    capfd.readouterr()
    run = mmcskd.Run(out)
    run.predict(photos / 'dark' / '0.png')
    run.export(to='mmpretrain')
    assert capfd.readouterr() == ('', '')
    assert run.accuracy == pytest.approx(100 * run.metrics['student']['test']['correct'] / 6)
    before = (out / 'student' / 'last_checkpoint').stat().st_mtime_ns
    mmcskd_cli.main(['distill', str(photos), '--out', str(out), '--baseline', *TINY])
    assert capfd.readouterr().out.count('is there already') == 4
    assert (out / 'student' / 'last_checkpoint').stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_student_that_cannot_be_exported_has_a_report(photos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ValueError('This format has no place for it.')

    monkeypatch.setattr('mmcskd.app.deployment.export_student', refuse)
    with pytest.raises(ValueError, match='--export onnx: This format has no place for it.'):
        mmcskd.distill(photos, out=tmp_path / 'out', **SMALL)
    assert (tmp_path / 'out' / 'report.html').exists()


def test_what_the_export_needs_is_asked_for_at_the_start(photos, tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='--export onnx needs a package: run `pip install onnx '):
        mmcskd.distill(photos, out=tmp_path / 'out', **SMALL)


def test_an_interrupted_command_says_how_to_go_on(photos, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcskd.app.journey.train', interrupted)
    arguments = ['distill', str(photos), '--out', str(tmp_path / 'out'), *TINY]
    assert mmcskd_cli.main(arguments) == 130
    assert 'Interrupted. The same command goes on' in capsys.readouterr().err


def test_a_changed_option_touches_what_depends_on_it(photos, tmp_path, capsys):
    def write(**changes):
        mmcskd.distill(photos, out=tmp_path / 'out', dry_run=True, baseline=True, **SMALL | changes)
        return {path.parent.name: path.read_text() for path in tmp_path.glob('out/*/fingerprint')}

    first = write()
    assert write() == first
    second = write(lr=0.01)
    assert second['teacher'] == first['teacher']
    assert second['student'] != first['student'] and second['baseline'] != first['baseline']
    kept = {path.name.split('.')[0] for path in tmp_path.glob('out/*.*') if path.is_dir()}
    assert kept == {'student', 'baseline'}
    third = write(lr=0.01, teacher_epochs=2)
    assert third['teacher'] != second['teacher'] and third['student'] != second['student']
    assert third['baseline'] == second['baseline']
    (photos / 'dark' / '0.png').write_bytes((photos / 'light' / '1.png').read_bytes())
    assert write(lr=0.01, teacher_epochs=2)['baseline'] != third['baseline']


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(epochs=0), '--epochs 0: expected a whole number > 0.'),
        (dict(seed=-1), '--seed -1: expected a whole number of 0'),
        (dict(lr=2.0), '--lr 2.0: expected a number between 0 and 1.'),
        (dict(augment='none'), '--augment "none": expected one of'),
        (dict(export='tflite'), '--export "tflite": expected one of'),
        (dict(devices=3), '--batch-size 64 is no multiple of --devices 3'),
        (dict(size=18), '--size 18 is no side for small-vit'),
        (dict(teacher_weights='no.pth'), '--teacher-weights "no.pth" cannot be read'),
        (
            dict(teacher='resnet18', teacher_weights='none', teacher_size=32),
            'resnet18_8xb32_in1k at 32 pixels has a grid of 1 × 1, .* give --teacher-size 64 or',
        ),
        (
            dict(student='deit-tiny', student_weights='none', size=16),
            'deit-tiny.* at 16 pixels has a grid of 1 × 1, .* give --size 32 or',
        ),
        (
            dict(teacher='deit-tiny', teacher_weights='none'),
            '--teacher "deit-tiny-distilled_3rdparty_in1k" cannot teach --student "small-vit"',
        ),
    ],
)
def test_refused_before_anything_is_trained(options, message, photos, tmp_path):
    with pytest.raises(ValueError, match=message):
        mmcskd.distill(photos, out=tmp_path / 'out', **{**SMALL, 'batch_size': 64, **options})
    assert not list(tmp_path.glob('out/*/config.py')) + list(tmp_path.glob('out/command.json'))


@pytest.mark.slow
@pytest.mark.parametrize('step', ['teacher', 'student'])
def test_a_killed_step_goes_on_to_the_same_weights(step, photos, tmp_path):
    command = [sys.executable, str(ROOT / 'mmcskd_cli.py'), 'distill', str(photos)]
    command += [*TINY, '--export', 'none', '--epochs', '6', '--teacher-epochs', '6']
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    subprocess.run([*command, '--out', str(whole)], check=True, cwd=ROOT)
    environment = dict(os.environ, MMCSKD_HOME=str(tmp_path / 'another'))
    with subprocess.Popen([*command, '--out', str(cut)], cwd=ROOT, env=environment) as process:
        while not list(cut.glob(f'{step}/epoch_*.pth')) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 130
    assert not (cut / step / 'metrics.json').exists()
    subprocess.run([*command, '--out', str(cut)], check=True, cwd=ROOT, env=environment)
    for each in ('teacher', 'student'):
        first, second = (
            torch.load(out / each / f'{each}.pth')['state_dict'] for out in (whole, cut)
        )
        assert all(torch.equal(first[name], second[name]) for name in first), each


@pytest.mark.slow
def test_the_written_config_trains_to_the_same_weights_by_the_script(photos, tmp_path):
    out = tmp_path / 'out'
    run = mmcskd.distill(photos, out=out, export='none', **SMALL)
    script = [sys.executable, 'tools/train.py', str(out / 'student' / 'config.py')]
    subprocess.run([*script, '--work-dir', str(tmp_path / 'by_hand')], check=True, cwd=ROOT)
    own = torch.load(out / 'student' / 'student.pth')['state_dict']
    other = torch.load(tmp_path / 'by_hand' / 'epoch_2.pth', weights_only=False)['state_dict']
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    answer = run.predict(photos / 'dark' / '0.png')
    assert answer['classes'] in (['dark', 'light'], ['light', 'dark'])
    assert sum(answer['probabilities']) == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match='IMAGE "no.png" is no file'):
        run.predict(['no.png'])


@pytest.mark.slow
def test_two_processes_with_mixed_precision_go_on_after_a_kill(photos, tmp_path):
    """By gloo where there is no GPU; the features of a teacher with weights are frozen first."""
    torch.manual_seed(0)
    weights = MODELS.build(dict(small_cnn(3, 16), _scope_='mmpretrain')).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    out = tmp_path / 'out'
    command = [sys.executable, 'mmcskd_cli.py', 'distill', str(photos), '--out', str(out), *TINY]
    command += ['--devices', '2', '--amp', '--epochs', '4', '--teacher-epochs', '4']
    command += ['--teacher-weights', str(tmp_path / 'weights.pth'), '--export', 'none']
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not list(out.glob('student/epoch_*.pth')) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert (out / 'teacher' / 'metrics.json').exists()
    assert not (out / 'student' / 'metrics.json').exists()
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert re.search('goes on after iteration [1-9]', said.stdout)
    assert said.stdout.count('is there already') == 1 and said.stderr == ''
    metrics = mmcskd.Run(out).metrics
    assert [metrics[step]['test']['n'] for step in ('teacher', 'student')] == [6, 6]
    for step in metrics:
        config = Config.fromfile(out / step / 'config.py')
        wrapper = config.optim_wrapper
        assert (wrapper.type, wrapper.dtype) == ('mmrazor.DeviceAmpOptimWrapper', 'bfloat16')
        details = max((out / step).glob('*/details.txt')).read_text()
        assert 'Distributed training: True' in details and 'GPU number: 2' in details
    assert (out / 'report.html').exists()
