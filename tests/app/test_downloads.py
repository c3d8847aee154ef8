"""Published weights come from a server: a real one, on this machine, with made-up weights."""

import hashlib
import http.server
import threading
from functools import partial

import mmcv
import numpy as np
import pytest
import torch
from mmpretrain import ModelHub, get_model, list_models

import mmcskd
import mmcskd_cli
from mmcskd.app import model_weights

NAME = 'resnet18_8xb32_in1k'
OPTIONS = dict(
    teacher='resnet18', teacher_size=64, teacher_epochs=1, student='small-vit', epochs=1,
    augment='light', export='none',
)  # fmt: skip


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of 16 × 16 pictures; all caches are empty."""
    monkeypatch.setenv('MMCSKD_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    drawn = np.random.RandomState(0)
    for name, most in (('dark', 90), ('light', 255)):
        for index in range(10):
            image = drawn.randint(most // 2, most, (16, 16, 3), dtype=np.uint8)
            mmcv.imwrite(image, str(tmp_path / 'photos' / name / f'{index}.png'))
    return tmp_path / 'photos'


@pytest.fixture
def served(tmp_path, monkeypatch):
    """MMPretrain's ResNet-18 is published on this machine: its file, and what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path.strip('/'))

    torch.manual_seed(0)
    state = get_model(NAME).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'made_up.pth')
    digest = hashlib.sha256((tmp_path / 'made_up.pth').read_bytes()).hexdigest()[:8]
    file = tmp_path / 'server' / f'resnet18-{digest}.pth'
    file.parent.mkdir()
    (tmp_path / 'made_up.pth').rename(file)
    handler = partial(Handler, directory=str(file.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        list_models()  # reads the metafiles
        url = f'http://127.0.0.1:{server.server_port}/{file.name}'
        monkeypatch.setattr(ModelHub._models_dict[NAME], 'weights', url)
        yield file, asked
        server.shutdown()


@pytest.mark.slow
def test_weights_are_downloaded_once_and_fine_tuned(served, photos, tmp_path):
    file, asked = served
    run = mmcskd.distill(photos, out=tmp_path / 'out', **OPTIONS)
    assert asked == [file.name]
    assert run.metrics['student']['val']['n'] == 4
    config = run.config('teacher')
    assert config.custom_hooks[0].checkpoint.endswith(file.name)
    # The features began where the download left them, the classifier is new.
    first = torch.load(file)['state_dict']
    tuned = torch.load(run.out / 'teacher' / 'teacher.pth')['state_dict']
    apart = (tuned['backbone.conv1.weight'] - first['backbone.conv1.weight']).abs().max()
    assert apart < 0.05 < first['backbone.conv1.weight'].abs().max()
    assert len(tuned['head.fc.bias']) == 2


def test_a_server_that_is_not_there(photos, served, tmp_path, capsys):
    """One sentence that names the URL and the way to give a file."""
    file, _ = served
    file.unlink()
    arguments = ['--teacher', 'resnet18', '--student', 'small-vit', '--out', str(tmp_path / 'out')]
    assert mmcskd_cli.main(['distill', str(photos), '--dry-run', *arguments]) == 2
    url = ModelHub._models_dict[NAME].weights
    said = capsys.readouterr()
    assert f'  The weights of {NAME} are fetched from {url}.\n' in said.out
    assert said.err == (
        f'mmcskd: The weights of {NAME} cannot be had from {url} (HTTPError: HTTP Error 404: File '
        'not found): give a file with --teacher-weights, or "none" to start from scratch.\n'
    )
    assert not list(tmp_path.glob('out/teacher/*'))


@pytest.mark.parametrize(
    'name, where',
    [
        ('timm:regnety_040', 'https://huggingface.co/timm/regnety_040.ra3_in1k'),
        ('torchvision:resnet18', 'https://download.pytorch.org/models/resnet18-f37072fd.pth'),
    ],
)
def test_libraries_that_download_by_themselves(name, where, photos, tmp_path, monkeypatch, capsys):
    def unreachable(*_, **__):
        raise OSError('Name or service not known')

    monkeypatch.setattr('timm.create_model', unreachable)
    monkeypatch.setattr('torchvision.models.get_model', unreachable)
    message = (
        rf'The weights of {name} cannot be had from {where} \(OSError: Name or service not known\)'
        ': give a file with --teacher-weights, or "none"'
    )
    with pytest.raises(ValueError, match=message):
        mmcskd.distill(photos, out=tmp_path / 'out', dry_run=True, teacher=name)
    assert f'  The weights of {name} are fetched from {where}' in capsys.readouterr().out
    assert not list(model_weights.home().glob('weights/*'))
