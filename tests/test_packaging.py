"""The package as it is installed elsewhere, and its index of models."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
PUBLISHED = dict(ti=(76.3, 74.5), s=(82.3, 81.2), b=(83.8, 83.4))


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder into which the package's wheel is installed, without what it depends on."""
    folder = tmp_path_factory.mktemp('installed')
    subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
         '--no-deps', '--no-build-isolation', '--target', folder, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


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


@pytest.mark.parametrize('name', ['cskd_deit-s_regnety.py', 'ablation/cskd_deit-ti_x2.py'])
def test_base_by_package_in_a_checkout(name, tmp_path):
    (tmp_path / 'mine.py').write_text(
        f"_base_ = 'mmcskd::{name}'\ntrain_cfg = dict(max_epochs=7)\n"
    )
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.train_cfg.max_epochs == 7
    assert cfg.model == Config.fromfile(ROOT / 'configs' / name).model


def test_unknown_config(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmcskd::cskd_deit-m_regnety.py'\n")
    with pytest.raises(ValueError, match=r'"mmcskd::cskd_deit-m.*Nearest: "cskd_deit-'):
        Config.fromfile(tmp_path / 'mine.py')


def test_without_the_bridge(monkeypatch):
    stock = Config._get_cfg_path.__wrapped__
    with pytest.raises(AssertionError, match='does not support to load mmcskd config'):
        stock('mmcskd::demo/none_vit.py', 'mine.py')
    assert stock('mmpretrain::deit/deit-small_4xb256_in1k.py', 'mine.py')[1] == 'mmpretrain'


def test_model_index():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    (metafile,) = (yaml.safe_load((ROOT / path).read_text()) for path in index['Import'])
    assert [collection['Name'] for collection in metafile['Collections']] == ['CSKD']
    models = {model['Name']: model for model in metafile['Models']}
    configs = {path.stem: path for path in (ROOT / 'configs').glob('*.py')}
    assert set(models) == set(configs)
    for name, model in models.items():
        assert ROOT / model['Config'] == configs[name]
        assert model['In Collection'] == 'CSKD' and 'Weights' not in model
    for size, accuracies in PUBLISHED.items():
        for kind, accuracy in zip(('cskd', 'deit'), accuracies):
            (result,) = models[f'{kind}_deit-{size}_regnety']['Results']
            assert result['Metrics'] == {'Top 1 Accuracy': accuracy}


def test_scripts_have_names_of_their_own():
    """Those of tools/ and tests/ import each other by name: one would stand in for another."""
    paths = [path for folder in ('tools', 'tests') for path in (ROOT / folder).rglob('*.py')]
    names = [path.stem for path in paths if path.name != 'conftest.py']
    assert len(names) > 50
    assert not {name for name in names if names.count(name) > 1}
