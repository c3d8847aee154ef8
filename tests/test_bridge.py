"""Each bridge to today's PyTorch: the symptom without it, the cure with it."""

import os
import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from packaging.version import Version

from mmcskd import compat

ROOT = Path(__file__).parents[1]
NEEDS_STAND_IN = Version(torch.__version__).release >= (2, 6)


def python(code, cwd, *arguments):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(not NEEDS_STAND_IN, reason='this torch still has what MMRazor names')
def test_mmrazor_cannot_be_imported_without(tmp_path):
    run = python('import mmrazor.models', tmp_path)
    assert run.returncode == 1
    assert '`torch>=1.13` is not installed properly' in run.stderr


REGISTERED = """
import sys
from mmengine.config import Config
cfg = Config.fromfile(sys.argv[1])
from mmrazor import registry as razor
from mmpretrain import registry as pretrain
for registry, names in (
    (razor.TASK_UTILS, ['SpatialResponseRecorder', 'PatchTokenRecorder']),
    (razor.MODELS, ['PatchTokenConnector', 'DistTokenConnector', 'CSKDLoss', 'DeiTLoss',
                    'FrozenTeacherDistill', 'SingleTeacherDistill', 'ConfigurableDistiller']),
    (razor.HOOKS, ['CKFHook']),
    (razor.OPTIM_WRAPPERS, ['DeviceAmpOptimWrapper']),
    (pretrain.MODELS, ['CSKDDeiTHead', 'CSKDViTHead', 'DistilledVisionTransformer']),
    (pretrain.DATASETS, ['ClutteredDigits', 'ImageNet']),
):
    for name in names:
        assert registry.get(name) is not None, name
import mmcskd
for name in mmcskd.__all__:
    getattr(mmcskd, name)
try:
    from mmrazor.structures.quantization import BackendConfigs
    BackendConfigs['native']
except ImportError as error:
    print('refused:', error)
"""


def test_custom_imports_register_everything_from_any_directory(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)\n")
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    run = python(REGISTERED, elsewhere, config)
    assert run.returncode == 0, run.stderr
    if NEEDS_STAND_IN:
        assert "quantization backend 'native' of MMRazor" in run.stdout


def test_files_are_named_after_what_they_register():
    for name in ('SpatialResponseRecorder', 'PatchTokenConnector', 'CSKDLoss', 'CKFHook'):
        import mmcskd

        module = getattr(mmcskd, name).__module__
        assert module.split('.')[1].replace('_', '') == name.lower()


@pytest.fixture
def checkpoint(tmp_path):
    hub = MessageHub.get_instance('bridge')
    for value in (3.0, 1.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('iter', 7)
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict=dict(a=torch.ones(2)), message_hub=hub.state_dict()), path)
    return path


@pytest.mark.skipif(not NEEDS_STAND_IN, reason='this torch loads everything')
def test_checkpoint_does_not_load_without(checkpoint):
    safe = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError, match='Weights only load failed'):
            torch.load(checkpoint, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(safe)


@pytest.mark.skipif(not NEEDS_STAND_IN, reason='this torch loads everything')
def test_checkpoint_loads(checkpoint):
    loaded = torch.load(checkpoint, weights_only=True)
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.mean() == 2.0 and history.current() == 1.0
    assert loaded['message_hub']['runtime_info']['iter'] == 7


class Payload:
    """What an attacker would put into a checkpoint."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize('kind', ['call', 'attribute', 'private'])
def test_foreign_content_is_refused(tmp_path, kind):
    target = tmp_path / 'written'
    payload = dict(
        call=Payload(os.system, f'touch {target}'),
        attribute=Payload(getattr, torch.Tensor, 'tolist'),
        private=Payload(getattr, HistoryBuffer, '__init__'),
    )[kind]
    path = tmp_path / 'bad.pth'
    torch.save(dict(state_dict=payload), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert not target.exists()


@pytest.mark.parametrize(
    'distribution, version, message',
    [
        (
            'mmcv-lite',
            '2.2.0',
            r"mmcv >= 2\.1\.0, < 2\.2\.0, found 2\.2\.0: .*'mmcv-lite==2\.1\.0'",
        ),
        ('mmrazor', None, r"mmrazor >= 1\.0\.0, < 2\.0, not installed: .*'mmrazor==1\.0\.0'"),
        ('torch', '1.13.1+cu117', r"torch >= 2\.0, found 1\.13\.1\+cu117: .*'torch>=2\.0'"),
        ('setuptools', '81.0.0', r"setuptools >= 0, < 81, found 81\.0\.0: .*'setuptools<81'"),
    ],
)
def test_unsupported_version(monkeypatch, distribution, version, message):
    real = metadata.version

    def patched(name):
        if name == distribution or (name == 'mmcv' and distribution == 'mmcv-lite'):
            if version is None or name == 'mmcv':
                raise metadata.PackageNotFoundError(name)
            return version
        return real(name)

    monkeypatch.setattr(metadata, 'version', patched)
    with pytest.raises(ImportError, match=message) as caught:
        compat.check_versions()
    assert '\n' not in str(caught.value)


def test_full_mmcv_serves_too(monkeypatch):
    real = metadata.version

    def patched(name):
        if name == 'mmcv':
            return '2.1.0'
        if name == 'mmcv-lite':
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, 'version', patched)
    compat.check_versions()


def test_old_python(monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 8, 10))
    with pytest.raises(ImportError, match=r'Python >= 3\.9 but runs on 3\.8\.10'):
        compat.check_versions()


@pytest.mark.skipif(compat.has_accelerator(), reason='MMEngine starts these itself')
@pytest.mark.parametrize('launcher', ['slurm', 'mpi', 'pytorch'])
def test_launcher_without_a_rendezvous(launcher, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    cfg = Config(dict(launcher=launcher))
    with pytest.raises(ValueError, match=rf'--launcher {launcher} .*tools/dist_train\.sh'):
        compat.bridge_cpu_processes(cfg)


def test_one_process_needs_no_bridge():
    cfg = Config(dict(launcher='none'))
    compat.bridge_cpu_processes(cfg)
    assert cfg.to_dict() == dict(launcher='none')
