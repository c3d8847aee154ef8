"""tools/setup_env.sh up to where packages are fetched; that they are: every other test."""

import os
import subprocess
import sys

import pytest
from tool_runs import ROOT


def set_up(place, **variables):
    return subprocess.run(
        ['bash', ROOT / 'tools' / 'setup_env.sh'],
        env=dict(os.environ, PYTHON=sys.executable, VENV=str(place), **variables),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def beside(tmp_path):
    """An environment whose pip says what it is asked."""
    place = tmp_path / 'one'
    version = f'python{sys.version_info.major}.{sys.version_info.minor}'
    packages = place / 'lib' / version / 'site-packages'
    (packages / 'pip').mkdir(parents=True)
    (packages / 'pip' / '__main__.py').write_text('import sys; print("pip", *sys.argv[1:])')
    # What is installed wins over the checkout that the script runs in.
    (packages / 'sitecustomize.py').write_text(
        'import sys, types\nsys.modules["mmcskd"] = types.SimpleNamespace(__version__="0")'
    )
    return place


def test_what_the_other_environment_has_is_linked(tmp_path, beside):
    place = tmp_path / 'two'
    # Cut short before: an interpreter alone.
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', place], check=True)
    done = set_up(place, BESIDE=str(beside), EXTRAS='test,transfer')
    assert done.returncode == 0, done.stderr
    assert '-e .[test,transfer]' in done.stdout and 'mmcskd 0 is ready.' in done.stdout
    files = list((place / 'lib').rglob('*.py'))
    assert {p.name for p in files} == {'sitecustomize.py', '__main__.py'}
    assert all(p.samefile(beside / p.relative_to(place)) for p in files)
    assert not place.with_name('two.lib').exists()
    again = set_up(place, BESIDE=str(beside), EXTRAS='test,transfer')
    assert again.returncode == 0 and again.stdout == ''


def test_without_another_environment_it_is_made_whole(tmp_path):
    place = tmp_path / 'two'
    done = set_up(place, BESIDE=str(tmp_path / 'none'), PIP_NO_INDEX='1')
    assert done.returncode != 0 and 'No matching distribution' in done.stderr
    assert (place / 'bin' / 'pip').is_file() and not (place / 'mmcskd.stamp').exists()
