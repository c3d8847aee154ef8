"""Fault: a checkpoint that runs code when it is read. Expected: refused, and nothing has run."""

import argparse
import codecs
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from models import algorithm_config, build, student_config, teacher_config
from torch._weights_only_unpickler import _get_allowed_globals

from mmcskd import DistilledInitHook, trust_checkpoints
from mmcskd.app.launch import add_trust
from mmcskd.export.export_student import export_student
from mmcskd.runs import safe_loading
from mmcskd.runs.weights import load_weights

ROOT = Path(__file__).parents[2]


class Payload:
    """Pickled, a call that writes a file."""

    def __init__(self, written):
        self.written = written

    def __reduce__(self):
        return exec, (f'open({str(self.written)!r}, "w").write("x")',)


@pytest.fixture
def evil(tmp_path):
    """A checkpoint with weights and a payload, and the file that the payload would write."""
    written = tmp_path / 'written'
    state = build(teacher_config()).state_dict()
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=state, meta=dict(epoch=1, iter=1, x=Payload(written))), path)
    return str(path), written


@pytest.fixture(params=['this torch', 'torch < 2.6'])
def reader(request, monkeypatch):
    """Both ways of reading; the older one reads with any torch."""
    if request.param == 'torch < 2.6':
        read_as_old(monkeypatch)
    return request.param


class OLD:
    release = (2, 0)


def read_as_old(monkeypatch):
    """As torch 2.0 reads, whose list of what may be named is shorter."""
    lacking = ('_codecs.', 'builtins.', 'collections.Counter', 'torch.device', 'torch.bool')
    kept = {
        name: known
        for name, known in _get_allowed_globals().items()
        if not name.startswith(lacking)
    }
    monkeypatch.setattr('torch._weights_only_unpickler._get_allowed_globals', lambda: kept)
    monkeypatch.setattr(safe_loading, 'Version', lambda text: OLD)


def by_timm(path):
    build(dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', checkpoint_path=path))


WAYS = dict(
    timm=by_timm,
    loader=lambda path: CheckpointLoader.load_checkpoint(path, map_location='cpu'),
    load_from=lambda path: load_checkpoint(build(teacher_config()), path),
    teacher=lambda path: load_weights(build(teacher_config()), path),
    init_hook=lambda path: DistilledInitHook(path, grid=(8, 8)).load(build(student_config())),
    export=lambda path: export_student(path, path + '.out.pth'),
    algorithm=lambda path: build(algorithm_config(random_teacher=False, teacher_ckpt=path)),
)


@pytest.mark.parametrize('way', WAYS)
def test_payload_does_not_run(evil, way, reader):
    path, written = evil
    with pytest.raises(
        (ValueError, pickle.UnpicklingError), match=r'nothing of it was run.*--trust'
    ):
        WAYS[way](path)
    assert not written.exists()


def test_payload_is_real(evil):
    """The test can fail: where it is trusted, the payload runs."""
    path, written = evil
    assert safe_loading.read(path, trusted=True)['state_dict']
    assert written.exists()


def test_trusted_by_name(evil, reader, monkeypatch):
    path, written = evil
    monkeypatch.setattr(safe_loading, '_trusted', set())
    parser = argparse.ArgumentParser()
    add_trust(parser)
    trust_checkpoints(parser.parse_args(['--trust', path]).trust)
    load_weights(build(teacher_config()), path)
    assert written.exists()
    with pytest.raises(TypeError, match=r'trusted_checkpoints is "a\.pth", expected a list'):
        trust_checkpoints('a.pth')


def test_every_scheme_is_ours():
    """None of MMEngine's own loaders is left, so none depends on torch's default."""
    modules = {scheme: loader.__module__ for scheme, loader in CheckpointLoader._schemes.items()}
    assert set(modules.values()) == {'mmcskd.runs.safe_loading'}, modules
    assert {'', 'http://', 'https://', 'torchvision://', 'openmmlab://'} < set(modules)


def test_download(evil, tmp_path, monkeypatch, reader):
    """A URL, by whatever name: read like a file, and only if the hash in its name is right."""
    path, written = evil
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    torch.save(dict(a=torch.ones(2)), tmp_path / 'good.pth')
    with pytest.raises(pickle.UnpicklingError, match='nothing of it was run'):
        safe_loading.load_from_http(Path(path).as_uri())
    assert not written.exists()
    url = (tmp_path / 'good.pth').as_uri()
    assert safe_loading.load_from_http(url)['a'].tolist() == [1, 1]
    wrong = tmp_path / 'good-0123abcd.pth'
    wrong.write_bytes((tmp_path / 'good.pth').read_bytes())
    with pytest.raises(RuntimeError, match='invalid hash value'):
        safe_loading.load_from_http(wrong.as_uri())
    assert not (tmp_path / 'hub' / 'hub' / 'checkpoints' / wrong.name).exists()
    # On another machine than the first one, which has a cache of its own.
    monkeypatch.setattr(safe_loading, 'get_dist_info', lambda: (8, 16))
    monkeypatch.setattr(safe_loading, 'barrier', lambda: None)
    with pytest.raises(RuntimeError, match='invalid hash value'):
        safe_loading.load_from_http(wrong.as_uri())


def test_a_trusted_url_is_not_read_from_the_cache_of_another(evil, tmp_path, monkeypatch):
    """The cache goes by the last part of a URL."""
    path, written = evil
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    monkeypatch.setattr(safe_loading, '_trusted', set())
    with pytest.raises(pickle.UnpicklingError):
        safe_loading.load_from_http(Path(path).as_uri())
    (tmp_path / 'mine').mkdir()
    mine = tmp_path / 'mine' / 'evil.pth'
    torch.save(dict(a=torch.ones(2)), mine)
    trust_checkpoints([mine.as_uri()])
    assert safe_loading.load_from_http(mine.as_uri())['a'].tolist() == [1, 1]
    assert not written.exists()


def test_config_in_a_checkpoint_is_not_executed(tmp_path):
    """``Runner.resume`` would run ``meta['config']``, plain text as it is, as Python."""
    path = tmp_path / 'a.pth'
    meta = dict(epoch=1, iter=2, config='import os; os.abort()', cfg='model = dict()')
    torch.save(dict(meta=meta, state_dict={}), path)
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == dict(
        epoch=1, iter=2, cfg='model = dict()'
    )


def hub():
    scalars = HistoryBuffer()
    for value in (3.0, 1.0):
        scalars.update(value)
    return dict(
        meta=dict(epoch=1, name='a', classes=('x', 'y')),
        hub=scalars,
        array=np.arange(3.0),
        scalar=np.float32(0.5),
        state_dict=build(teacher_config()).state_dict(),
        half=torch.ones(2, dtype=torch.bfloat16),
        plain=[b'\xff\x00', {1, 2}, 1j, torch.device('cpu'), torch.bool, torch.Size([2])],
    )


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])
def test_what_mmengine_writes_is_read(tmp_path, reader, zipped):
    path = str(tmp_path / 'a.pth')
    wanted = hub()
    torch.save(wanted, path, _use_new_zipfile_serialization=zipped)
    found = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    assert found['meta'] == wanted['meta'] and found['hub'].mean() == 2.0
    assert found['array'].tolist() == [0, 1, 2] and found['scalar'] == np.float32(0.5)
    assert torch.equal(found['half'], wanted['half']) and found['plain'] == wanted['plain']
    for name, value in wanted['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value)


class Calls:
    def __init__(self, function, arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    'content',
    [
        Calls(getattr, (HistoryBuffer, '__init__')),
        Calls(getattr, (torch.Tensor, 'tolist')),
        Calls(print, ('x',)),
        Calls(__import__, ('os',)),
    ],
    ids=['private', 'other class', 'print', 'import'],
)
def test_odd_content(tmp_path, reader, content):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(a=content), path)
    with pytest.raises(pickle.UnpicklingError, match='nothing of it was run'):
        CheckpointLoader.load_checkpoint(path)


def test_bytes_are_all_that_is_encoded(tmp_path, monkeypatch):
    """``torch.save`` writes bytes as a call of ``_codecs.encode``, which could do more."""
    read_as_old(monkeypatch)
    torch.save(dict(a=Calls(codecs.encode, ('x', 'rot13'))), tmp_path / 'a.pth')
    with pytest.raises(pickle.UnpicklingError, match="may not encode by 'rot13'"):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))


def test_state_of_a_class_is_not_set(tmp_path, monkeypatch):
    """A pickle may name a class and then rewrite it, without any call."""
    read_as_old(monkeypatch)
    body = (
        b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\n'
        b'N}X\x04\x00\x00\x00meanK\x01s\x86b.'
    )
    path = tmp_path / 'a.pth'
    torch.save({}, path)
    rewritten = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(rewritten, 'w') as new:
        for name in old.namelist():
            new.writestr(name, body if name.endswith('data.pkl') else old.read(name))
    path.write_bytes(rewritten.getvalue())
    with pytest.raises(pickle.UnpicklingError, match='may not set the state of'):
        CheckpointLoader.load_checkpoint(str(path))
    assert callable(HistoryBuffer.mean)


def test_torchscript_is_refused(tmp_path, reader):
    path = tmp_path / 'a.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/constants.pkl', b'')
        archive.writestr('a/data.pkl', b'')
        archive.writestr('a/version', b'3')
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        CheckpointLoader.load_checkpoint(str(path))


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    teacher, other = build(teacher_config()), build(teacher_config())
    save_file(teacher.state_dict(), tmp_path / 'a.safetensors')
    load_weights(other, str(tmp_path / 'a.safetensors'))
    for name, value in teacher.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


@pytest.mark.slow
@pytest.mark.both_stacks
def test_tools_refuse(evil, tmp_path):
    """As a user starts it: tools/test.py with a checkpoint from a stranger."""
    path, written = evil
    done = subprocess.run(
        [
            sys.executable,
            ROOT / 'tools' / 'test.py',
            ROOT / 'configs' / 'demo' / 'none_vit.py',
            path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )
    assert done.returncode != 0 and not written.exists()
    assert 'nothing of it was run' in done.stderr.strip().splitlines()[-1]
