"""Fault: a saved config that names what it likes. Expected: export builds and writes none of it."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from reader_runs import opening

from mmcskd.export.export_student import PACKAGES, TARGETS, export_student
from mmcskd.runs.safe_loading import read
from mmcskd.runs.saved_config import SavedConfigError, read_saved_config

INSTALLED = [name for name in TARGETS if all(map(find_spec, PACKAGES.get(name, ())))]


def call_of(trap):
    return dict(type='os.system', command=f'touch {trap}')


def put(*keys):
    """A payload at a place of the student's config, by the keys that lead there."""

    def harm(model, trap, value=None):
        *way, last = keys
        for key in way:
            model = model.setdefault(key, {})
        model[last] = call_of(trap) if value is None else value

    return harm


def named_module(model, trap):
    """A name that is a module of the folder: importing it is enough."""
    Path(trap.parent, 'stranger.py').write_text(opening(trap))
    model['neck'] = dict(type='stranger')


def named_scope(model, trap):
    folder = trap.parent / 'strange'
    folder.mkdir()
    (folder / '__init__.py').touch()
    (folder / 'registry.py').write_text(opening(trap))
    model['neck'] = dict(type='GlobalAveragePooling', _scope_='strange')


def other_scope(model, trap):
    named_scope(model, trap)
    model['neck'] = dict(type='strange.GlobalAveragePooling')


def another_config(model, trap):
    (trap.parent / 'stranger.py').write_text(
        f'{opening(trap)}\nmodel = dict(type="ImageClassifier")'
    )
    up = '../' * 30
    model.update(
        type='mmpretrain.CSKDClassifier', cfg_path=f'mmpretrain::{up}{trap.parent}/stranger.py'
    )


def looked_up(model, trap):
    """Not a type, and yet looked up where types are."""
    named_module(model, trap)
    model.clear()
    model.update(
        type='mmpretrain.CSKDClassifier',
        backbone=dict(
            type='TIMMBackbone', model_name='vit_tiny_patch16_224', norm_layer='stranger'
        ),
        head=dict(type='LinearClsHead', in_channels=192, num_classes=10),
    )


HOSTILE = dict(
    neck=put('neck'),
    layer=put('backbone', 'layer_cfgs', 'norm_cfg'),
    norm=put('backbone', 'norm_cfg'),
    patch=put('backbone', 'patch_cfg', 'norm_cfg'),
    list_=lambda model, trap: put('backbone', 'layer_cfgs')(model, trap, [call_of(trap)] * 2),
    popen=lambda model, trap: put('neck')(
        model, trap, dict(type='subprocess.Popen', args=f'touch {trap}', shell=True)
    ),
    module=named_module,
    scope=named_scope,
    other_scope=other_scope,
    another_config=another_config,
    looked_up=looked_up,
)


def saved(place, harm=None, pipeline=None, **settings):
    """The run's checkpoint with another saved config."""
    content = read(place / 'run' / 'epoch_1.pth')
    cfg = Config.fromfile(place / 'config.py').to_dict()
    if harm is not None:
        harm(cfg['model']['architecture'], place / 'trap')
    if pipeline is not None:
        cfg['test_dataloader']['dataset']['pipeline'] = pipeline
    cfg.update(settings)
    content['meta']['cfg'] = ''.join(f'{key} = {value!r}\n' for key, value in cfg.items())
    torch.save(content, place / 'evil.pth')
    return place / 'evil.pth'


@pytest.mark.parametrize('harm', HOSTILE)
@pytest.mark.parametrize('target', INSTALLED)
def test_export_builds_nothing_that_is_not_registered(place, target, harm, monkeypatch):
    monkeypatch.syspath_prepend(place)
    path = saved(place, HOSTILE[harm])
    with pytest.raises(ValueError, match=r'evil\.pth": (The saved config|It names the config)'):
        export_student(path, place / 'out', target)
    assert not (place / 'trap').exists() and not list(place.glob('out*'))


def steps(trap):
    """Steps of a pipeline that act when they are built, or when the text they stand in is read."""
    call = opening(trap)
    return dict(
        call=call_of(trap),
        deep=dict(type='RandomApply', transforms=[call_of(trap)]),
        evaluated=dict(type='torchvision/ConvertImageDtype', dtype=f'float if {call} else float'),
        key={'type': 'Resize', 'scale': 32, f'a=1); {call} #': 1},
        quoted_key={'type': 'Resize', 'scale': 32, f"a': {call}, 'b": 1},
        template=dict(
            type='Resize', scale=32, backend=f"{{{{$NONE:');{call.replace(' ', '')}#}}}}"
        ),
        file=dict(type='LoadImageFromFile', file_client_args=dict(backend=str(trap))),
        infinite=dict(type='Resize', scale=[float('inf')]),
    )


@pytest.mark.parametrize('step', steps(''))
@pytest.mark.parametrize('target, suffix', [('mmpretrain', 'pth'), ('safetensors', 'safetensors')])
def test_export_writes_no_step_that_acts(place, target, suffix, step):
    path = saved(place, pipeline=[steps(place / 'trap')[step]])
    with pytest.raises(ValueError, match=r'^(CKPT ".*evil\.pth": The saved config|The config can)'):
        export_student(path, place / f'out.{suffix}', target)
    assert not (place / 'trap').exists() and not list(place.glob('out*'))


def test_an_exported_config_holds_plain_values(place):
    """What loads it finds what was meant, and nothing of what the checkpoint would load besides."""
    harm = put('backbone', 'init_cfg')
    harm_of = dict(type='Pretrained', checkpoint=str(place / 'other.pth'))
    path = saved(
        place, lambda model, trap: harm(model, trap, harm_of), custom_imports=dict(imports=['os']),
        pipeline=[dict(type='mmpretrain.datasets.transforms.processing.ResizeEdge', scale=40)],
    )  # fmt: skip
    export_student(path, place / 'out.pth')
    cfg = Config.fromfile(place / 'out.py')
    assert set(cfg) == {'default_scope', 'model', 'data_preprocessor', 'test_dataloader'}
    assert 'init_cfg' not in cfg.pretty_text and 'imports' not in cfg.pretty_text
    # A step that was saved by its module is written by its name.
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='ResizeEdge', scale=40)]


OWN = """
from mmpretrain.registry import MODELS
from torch import nn

@MODELS.register_module()
class OwnNeck(nn.Module):
    def forward(self, feats):
        return feats
"""


@pytest.mark.parametrize('by', ['config', 'command', 'nobody'])
def test_classes_of_ones_own(place, by, monkeypatch):
    """Export when the user's own config or command imports them, never by the checkpoint's word."""
    (place / 'own_neck.py').write_text(OWN)
    monkeypatch.syspath_prepend(place)
    path = saved(
        place, lambda model, trap: put('neck')(model, trap, dict(type='OwnNeck')),
        custom_imports=dict(imports=['own_neck']),
    )  # fmt: skip
    config = None
    if by == 'config':
        config = place / 'own.py'
        cfg = Config.fromfile(place / 'config.py')
        cfg.model.architecture.neck = dict(type='OwnNeck')
        cfg.custom_imports = dict(imports=['own_neck'])
        cfg.dump(config)
    try:
        if by == 'nobody':
            with pytest.raises(ValueError, match="neck.type to 'OwnNeck', which is not registered"):
                export_student(path, place / 'out.pth')
            return
        if by == 'command':
            exec(OWN, {})
        export_student(path, place / 'out.pth', config=config)
        assert Config.fromfile(place / 'out.py').model.neck == dict(type='OwnNeck')
    finally:
        MODELS._module_dict.pop('OwnNeck', None)
        monkeypatch.delitem(sys.modules, 'own_neck', raising=False)


@pytest.mark.parametrize(
    'text',
    [
        '-' * 200_000 + '1',
        '[' * 90 + ']' * 90 + '+a' * 200_000,
        'dict(a=' * 150 + '1' + ')' * 150,
        'not ' * 200_000 + '1',
        'a' + '.b' * 200_000,
        '[' + '1,' * 600_000 + ']',
    ],
    ids=['signs', 'sums', 'dictionaries', 'nots', 'attributes', 'long'],
)
def test_text_without_end(text):
    """Refused, where Python's parser would end the process."""
    with pytest.raises(
        SavedConfigError, match='no plain config|nested more than|characters|plain data'
    ):
        read_saved_config(f'model = {text}', ['model'])
