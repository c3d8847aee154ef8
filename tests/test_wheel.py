"""The package as it is built and installed elsewhere."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from builds import checkout, run, wheel
from mmengine.config import Config
from tool_runs import ROOT

from mmcskd import __version__
from mmcskd.compat import is_onedl

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp('built')
    return wheel(checkout(folder / 'checkout'), folder / 'wheel')


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sdist')
    build = f'from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})'
    run(sys.executable, '-c', build, cwd=checkout(folder / 'checkout'))
    (path,) = folder.glob('*.tar.gz')
    return path


@pytest.fixture(scope='module')
def installed(built, tmp_path_factory):
    """A folder into which the wheel is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp('installed')
    zipfile.ZipFile(built).extractall(folder)
    return folder


def test_a_wheel_built_twice_is_the_same(built, tmp_path):
    """At another time, in another place, by another umask, with what an earlier build left."""
    again = checkout(tmp_path / 'elsewhere', umask=0o077)
    for path in again.rglob('*.py'):
        os.utime(path, (1e9, 1e9))
    left = again / 'build' / 'lib' / 'mmcskd' / 'gone.py'
    left.parent.mkdir(parents=True)
    left.touch()
    other = wheel(again, tmp_path / 'wheel')
    assert not left.exists()
    assert other.read_bytes() == built.read_bytes()


def test_an_sdist_builds_the_same_wheel(built, sdist, tmp_path):
    assert wheel(sdist, tmp_path / 'wheel').read_bytes() == built.read_bytes()


def test_neither_tests_nor_laboratory_are_packed(built, sdist):
    packed = zipfile.ZipFile(built).namelist()
    own = {'mmcskd', 'mmcskd_cli.py'}
    assert {name.split('/')[0] for name in packed} == own | {f'mmcskd-{__version__}.dist-info'}
    with tarfile.open(sdist) as archive:
        names = [name.partition('/')[2] for name in archive.getnames()]
    assert {name.split('/')[0] for name in names} - {''} == {
        'LICENSE', 'MANIFEST.in', 'PKG-INFO', 'README.md', 'mmcskd', 'mmcskd.egg-info',
        'mmcskd_cli.py', 'pyproject.toml', 'setup.cfg', 'setup.py',
    }  # fmt: skip
    assert not [
        name for name in packed + names if re.search(r'test_|\.dev_scripts|run_tests', name)
    ]


def test_package_checkers(built, sdist):
    """Those of the extra `dev`."""
    places = dict(cwd=built.parent, NO_COLOR='1')
    assert 'PASSED' in run(
        sys.executable, '-m', 'twine', 'check', '--strict', built, sdist, **places
    )
    config = ROOT / 'pyproject.toml'
    check = run(sys.executable, '-m', 'check_wheel_contents', '--config', config, built, **places)
    assert check.endswith('.whl: OK\n')


def requirements(installed):
    (distribution,) = metadata.distributions(path=[str(installed)])
    return distribution.requires


def test_installing_it_takes_nothing_away(installed):
    """No version is asked for, and no package that comes in another build or of another fork."""
    plain = [line for line in requirements(installed) if 'extra ==' not in line]
    assert plain == ['numpy', 'packaging', 'scikit-learn', 'tqdm']


@pytest.mark.parametrize('stack', ['', 'stack'])
def test_pip_adds_nothing_else_to_a_whole_stack(built, tmp_path, stack):
    """Beside OpenMMLab's packages or OneDL's, whichever these tests run with."""
    if stack:
        lite = 'openmmlab-without-mmcv' if has('mmcv') else 'openmmlab'
        stack = '[onedl]' if is_onedl() else f'[{lite}]'
    report = tmp_path / 'report.json'
    run(
        sys.executable, '-m', 'pip', 'install', '--quiet', '--dry-run', '--no-index', '--report',
        report, f'{built}{stack}', cwd=tmp_path,
    )  # fmt: skip
    added = [one['metadata']['name'] for one in json.loads(report.read_text())['install']]
    assert set(added) <= {'mmcskd'}


def has(distribution):
    return any(metadata.distributions(name=distribution))


def test_mmcv_is_the_choice_of_an_extra(installed):
    """Not of the environment of who builds the wheel."""
    mmcv = [line for line in requirements(installed) if line.startswith('mmcv')]
    assert mmcv == ['mmcv-lite==2.1.0; extra == "openmmlab"']
    shared = 'mmcskd[openmmlab-without-mmcv]; extra == "openmmlab"'
    assert shared in requirements(installed)


def test_without_the_stack_the_extra_is_named(installed, tmp_path):
    """With what the plain installation brings, and nothing else."""
    (tmp_path / 'packaging').symlink_to(
        Path(metadata.distribution('packaging').locate_file('packaging'))
    )
    code = (
        'import sys\n'
        f'sys.path[:0] = [{str(installed)!r}, {str(tmp_path)!r}]\n'
        'try:\n'
        '    import mmcskd\n'
        'except ImportError as error:\n'
        '    print(error)\n'
    )
    assert run(sys.executable, '-S', '-c', code, cwd=tmp_path, PYTHONPATH='') == (
        'mmcskd needs torch >= 2.0, not installed: run '
        "`pip install 'mmcskd[openmmlab]'`, which brings all that is missing.\n"
    )


def test_type_checkers_read_it(installed):
    assert (installed / 'mmcskd' / 'py.typed').is_file()


def test_wheel_brings_the_templates(installed):
    there = {path.name for path in (installed / 'mmcskd' / 'app' / 'report').glob('*.jinja')}
    assert there == {'report.html.jinja', 'card.md.jinja'}


def test_wheel_brings_the_configs(installed, tmp_path):
    """From anywhere, out of the installed files and not out of this checkout."""
    shipped = {
        path.relative_to(ROOT / 'configs') for path in (ROOT / 'configs').rglob('*.py')
    }  # fmt: skip
    packaged = installed / 'mmcskd' / '.mim' / 'configs'
    assert {path.relative_to(packaged) for path in packaged.rglob('*.py')} == shipped
    (tmp_path / 'mine.py').write_text("_base_ = 'mmcskd::cskd_deit-s_regnety.py'\n")
    code = (
        'import sys\n'
        'from mmengine.config import Config\n'
        'import mmcskd\n'
        f'assert mmcskd.__file__.startswith({str(installed)!r})\n'
        "sys.stdout.write(repr(Config.fromfile('mine.py').to_dict()))\n"
    )
    text = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], cwd=tmp_path, text=True, check=True,
        capture_output=True, env=dict(PYTHONPATH=str(installed)),
    ).stdout  # fmt: skip
    here = Config.fromfile(ROOT / 'configs' / 'cskd_deit-s_regnety.py')
    assert text == repr(here.to_dict())


def test_tools_and_index_are_packaged(installed):
    mim = installed / 'mmcskd' / '.mim'
    for path in ('tools/train.py', 'tools/test.py', 'tools/dist_train.sh', 'model-index.yml'):
        assert (mim / path).read_text() == (ROOT / path).read_text()
