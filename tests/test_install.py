"""mmcskd installed in fresh environments: what comes with it, and what stays as it was."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import builds
import pytest
from packaging.requirements import Requirement

from mmcskd.app.deployment import RUNTIMES

pytestmark = pytest.mark.slow
BESIDE = {
    'jinja2': '3.1.6', 'onnx': '1.20.0', 'onnxscript': '0.5.0', 'onnxruntime': '1.23.0',
    'safetensors': '0.7.0',
    'joblib': '1.5.0', 'matplotlib': '3.10.0', 'mmrazor': '1.0.0', 'scipy': '1.16.0',
    'tensorboard': '2.20.0', 'timm': '1.0.20', 'torch': '2.8.0+cu128', 'numpy': '2.2.0',
    'torchvision': '0.23.0+cu128', 'packaging': '25.0', 'scikit-learn': '1.7.0', 'tqdm': '4.67.0',
}  # fmt: skip
STACKS = {
    'openmmlab': {
        'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0', 'setuptools': '80.9.0',
    },
    'openmmlab-without-mmcv': {
        'mmengine': '0.10.5', 'mmcv': '2.1.0', 'mmpretrain': '1.2.0', 'setuptools': '80.9.0',
    },
    'onedl': {
        'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmpretrain': '1.3.6',
        'setuptools': '84.0.0',
    },
}  # fmt: skip
EXTRAS = (
    'openmmlab', 'openmmlab-without-mmcv', 'onedl', 'transfer', 'onedl-transfer', 'export',
    'pictures', 'docs', 'report', 'openvino',
)  # fmt: skip


def pip(python, *arguments, fails=False):
    command = [python, '-m', 'pip', '--disable-pip-version-check', *map(str, arguments)]
    own = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=own)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    return builds.wheel(builds.checkout(folder / 'checkout'), folder / 'wheel')


@pytest.fixture(scope='module')
def index():
    """Skips where no package index can be reached."""
    command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '-d', '/dev/null/none', 'tqdm']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if 'No matching distribution' in done.stderr:
        pytest.skip('needs a package index')


@pytest.fixture
def fresh(tmp_path):
    """The interpreter of an environment with nothing but pip."""
    subprocess.run([sys.executable, '-m', 'venv', tmp_path / 'fresh'], check=True)
    return tmp_path / 'fresh' / 'bin' / 'python'


def made_up(folder, name, version):
    """A wheel with one module and metadata."""
    about = f'{name.replace("-", "_")}-{version}'
    module = {'scikit-learn': 'sklearn', 'mmcv-lite': 'mmcv'}.get(name, name.split('onedl-')[-1])
    files = {
        f'{module}/__init__.py': f'__version__ = {version!r}\n',
        f'{module}/version.py': f'__version__ = {version!r}\n',
        f'{about}.dist-info/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n',
        f'{about}.dist-info/WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\n',
    }
    files[f'{about}.dist-info/RECORD'] = ''.join(f'{path},,\n' for path in files)
    path = folder / f'{about}-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def digests(python):
    (packages,) = python.parents[1].rglob('site-packages')
    return {
        str(path.relative_to(packages)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in packages.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


@pytest.mark.parametrize('stack', STACKS)
def test_a_project_keeps_its_stack(wheel, fresh, tmp_path, stack):
    """Every file of its packages, by its digest, without an extra and with the stack's own."""
    project = tmp_path / 'project'
    project.mkdir()
    wheels = [made_up(project, *each) for each in {**BESIDE, **STACKS[stack]}.items()]
    pip(fresh, 'install', '--no-index', '--no-deps', *wheels)
    before = digests(fresh)
    assert 'torch/version.py' in before and len(before) > 4 * len(wheels)
    for extra in ('', f'[{stack}]'):
        pip(fresh, 'install', '--no-index', f'{wheel}{extra}')
        after = digests(fresh)
        assert {path: after.get(path) for path in before} == before
        added = {path.split('/')[0].split('-')[0] for path in set(after) - set(before)}
        assert {name.split('_')[0] for name in added} == {'mmcskd'}
        pip(fresh, 'uninstall', '-y', 'mmcskd')


@pytest.mark.parametrize('stack, other', [('openmmlab', 'onedl'), ('onedl', 'openmmlab')])
def test_the_other_stack_is_nobodys_dependency(wheel, fresh, tmp_path, stack, other):
    """With the extra of the other stack pip would have to be given its packages: it takes none."""
    project = tmp_path / 'project'
    project.mkdir()
    wheels = [made_up(project, *each) for each in {**BESIDE, **STACKS[stack]}.items()]
    pip(fresh, 'install', '--no-index', '--no-deps', *wheels)
    before = digests(fresh)
    said = pip(fresh, 'install', '--no-index', f'{wheel}[{other}]', fails=True)
    assert 'No matching distribution found for' in said
    assert digests(fresh) == before


def test_alone(wheel, fresh, index):
    """Really installed, with what it depends on; importing it says what brings the rest."""
    pip(fresh, 'install', wheel)
    done = subprocess.run(
        [fresh, '-c', 'import numpy, sklearn, tqdm, mmcskd'], capture_output=True, text=True,
        cwd=fresh.parent, env={},
    )  # fmt: skip
    assert done.stderr.strip().splitlines()[-1] == (
        'ImportError: mmcskd needs torch >= 2.0, not installed: run '
        "`pip install 'mmcskd[openmmlab]'`, which brings all that is missing."
    )


@pytest.mark.parametrize('extra', EXTRAS)
def test_each_extra_alone(wheel, index, tmp_path, extra):
    """What pip would install in an empty environment: versions that serve, of one stack at most."""
    report = tmp_path / 'report.json'
    options = ('--dry-run', '--ignore-installed', '--quiet', '--report', report)
    pip(sys.executable, 'install', *options, f'{wheel}[{extra}]')
    found = [one['metadata'] for one in json.loads(report.read_text())['install']]
    versions = {one['name'].lower(): one['version'] for one in found}
    frozen = {'mmengine', 'mmcv', 'mmcv-lite', 'mmpretrain', 'mmdet', 'mmsegmentation'}
    living = {name for name in versions if name.startswith('onedl-')}
    assert not (frozen & set(versions) and living)
    if extra in STACKS:
        (about,) = [one for one in found if one['name'] == 'mmcskd']
        asked = [Requirement(line) for line in about['requires_dist']]
        own = [one for one in asked if one.marker and one.marker.evaluate({'extra': extra})]
        assert own and all(one.name in versions for one in own)
        # With the last ones `mmcskd distill` ends as it does by default.
        assert {'torch', 'mmrazor', 'jinja2', *RUNTIMES['onnx']} <= set(versions)
        assert ('onedl' in extra) == bool(living)
    elif 'transfer' not in extra:
        assert not frozen & set(versions) and not living
