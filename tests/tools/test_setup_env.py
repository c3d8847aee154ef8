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
    assert '-e .[openmmlab,test,transfer]' in done.stdout and 'mmcskd 0 is ready.' in done.stdout
    files = list((place / 'lib').rglob('*.py'))
    assert {p.name for p in files} == {'sitecustomize.py', '__main__.py'}
    assert all(p.samefile(beside / p.relative_to(place)) for p in files)
    assert not place.with_name('two.lib').exists()
    again = set_up(place, BESIDE=str(beside), EXTRAS='test,transfer')
    assert again.returncode == 0 and again.stdout == ''


def test_mmcv_with_its_ops_stays(tmp_path, beside):
    place = tmp_path / 'two'
    assert '.[openmmlab,test]' in set_up(place, BESIDE=str(beside)).stdout
    (packages,) = place.rglob('site-packages')
    (packages / 'mmcv-2.1.0.dist-info').mkdir()
    (packages / 'mmcv-2.1.0.dist-info' / 'METADATA').write_text('Name: mmcv\nVersion: 2.1.0\n')
    assert '.[openmmlab-without-mmcv,docs]' in set_up(place, EXTRAS='docs').stdout


def test_the_other_stack_is_removed_from_what_was_linked(tmp_path, beside):
    """And stays where it was linked from; pip builds onedl-mmcv apart from torch."""
    (packages,) = beside.rglob('site-packages')
    for name in ('mmengine', 'mmcv-lite'):
        folder = packages / f'{name.replace("-", "_")}-0.10.7.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Name: {name}\nVersion: 0.10.7\n')
    done = set_up(tmp_path / 'two', BESIDE=str(beside), STACK='onedl')
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert [line.split()[-1] for line in said if ' uninstall -y ' in line] == [
        'mmengine', 'mmcv-lite',
    ]  # fmt: skip
    (last,) = (line for line in said if '-e .[onedl,test]' in line)
    assert '--no-build-isolation' not in last
    assert (packages / 'mmcv_lite-0.10.7.dist-info' / 'METADATA').is_file()


def test_another_stack_is_refused(tmp_path):
    done = set_up(tmp_path / 'two', STACK='mmlab')
    assert done.returncode == 1 and 'STACK="mmlab", expected openmmlab or onedl.' in done.stderr
    assert not (tmp_path / 'two').exists()


def test_extras_are_kept_until_torch_changes(tmp_path, beside):
    place = tmp_path / 'two'

    def says(**variables):
        done = set_up(place, BESIDE=str(beside), **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert says() and says(EXTRAS='dev')
    assert (says(), says(EXTRAS='dev')) == ('', '')
    assert 'install torch==9' in says(TORCH='torch==9')
    assert says(TORCH='torch==9') == ''
    assert says() and says(EXTRAS='dev')


@pytest.mark.slow
def test_without_another_environment_it_is_made_whole(tmp_path):
    place = tmp_path / 'two'
    done = set_up(place, BESIDE=str(tmp_path / 'none'), PIP_NO_INDEX='1')
    assert done.returncode != 0 and 'No matching distribution' in done.stderr
    assert (place / 'bin' / 'pip').is_file() and not (place / 'mmcskd.stamp').exists()
