"""The package's configs by its name, and its index of models."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmcskd.compat import is_onedl

ROOT = Path(__file__).parents[1]
PUBLISHED = dict(ti=(76.3, 74.5), s=(82.3, 81.2), b=(83.8, 83.4))


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


@pytest.mark.skipif(not is_onedl(), reason="OpenMMLab's distribution has the name looked for")
def test_configs_of_onedls_segmentation(tmp_path, monkeypatch):
    if find_spec('mmseg'):
        (tmp_path / 'mine.py').write_text("_base_ = 'mmseg::_base_/default_runtime.py'\n")
        assert Config.fromfile(tmp_path / 'mine.py').default_scope == 'mmseg'
        return
    configs = tmp_path / 'mmseg' / '.mim' / 'configs' / 'one'
    configs.mkdir(parents=True)
    (tmp_path / 'mmseg' / '.mim' / 'model-index.yml').write_text('Import: []\n')
    (tmp_path / 'mmseg' / '__init__.py').touch()
    (configs / 'theirs.py').write_text('crop_size = (64, 64)\n')
    (tmp_path / 'mine.py').write_text("_base_ = 'mmseg::one/theirs.py'\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Config.fromfile(tmp_path / 'mine.py').crop_size == (64, 64)
    monkeypatch.setitem(MODULE2PACKAGE, 'mmseg', 'mmsegmentation')
    with pytest.raises(ModuleNotFoundError, match='mmsegmentation is not installed'):
        Config.fromfile(tmp_path / 'mine.py')


def test_only_openmmlabs_mmengine_needs_an_old_setuptools(monkeypatch):
    """Which from 81 on has no pkg_resources: the one pin that OneDL's extra does without."""
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    path = ROOT / 'configs' / 'cskd_deit-ti_regnety.py'
    if is_onedl():
        assert Config.fromfile(path).model.type == 'FrozenTeacherDistill'
    else:
        with pytest.raises(ModuleNotFoundError, match='pkg_resources'):
            Config.fromfile(path)


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


def test_git_and_linter_ignore_what_commands_write():
    """The README's second command lints the checkout in which the first has written."""
    written = ['data/digits/train', 'runs/digits/student/config.py', 'work_dirs/a.py', '.venv/a']
    found = subprocess.run(
        ['git', '-C', ROOT, 'check-ignore', *written], capture_output=True, text=True
    )
    if found.returncode == 128:
        pytest.skip('this is no git checkout')
    assert found.stdout.split() == written
