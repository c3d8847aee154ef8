"""Fault: any wrong argument. Expected: ValueError or TypeError with the key, from this package."""

import inspect
import traceback
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmrazor.registry import HOOKS, MODELS

import mmcskd
from mmcskd.checks.part import check_keys, check_part
from mmcskd.checks.sizes import MOST
from mmcskd.export.export_student import export_student

PACKAGE = str(Path(mmcskd.__file__).parent)
QUICK = settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
ANYTHING = (
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.text(max_size=4), SCALARS, max_size=2)
)
# With what they need; every other argument is drawn.
COMPONENTS = {
    mmcskd.CSKDLoss: {},
    mmcskd.DeiTLoss: {},
    mmcskd.FeatureConnector: {},
    mmcskd.FeatureLoss: {},
    mmcskd.CKFHook: {},
    mmcskd.PatchTokenConnector: {},
    mmcskd.DistTokenConnector: {},
    mmcskd.PatchTokenRecorder: {},
    mmcskd.SpatialResponseRecorder: {},
    mmcskd.CSKDClassifier: dict(
        backbone=dict(
            type='DistilledVisionTransformer', img_size=16, patch_size=8,
            arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8),
        ),
        head=dict(type='DeiTClsHead', num_classes=3, in_channels=8),
    ),
    mmcskd.DistilledInitHook: {},
    mmcskd.PreemptionHook: {},
    mmcskd.ExactResumeHook: {},
    mmcskd.HeadFirstHook: dict(epochs=1),
    mmcskd.AtomicCheckpointHook: {},
    mmcskd.LoadWholeImage: {},
    mmcskd.ClutteredDigits: dict(split='train', length=1),
    mmcskd.DenseCSKDLoss: {},
    mmcskd.DenseResponseRecorder: {},
    mmcskd.IgnoredRegionRecorder: {},
    mmcskd.SimpleFeaturePyramid: dict(in_channels=4, out_channels=4),
    mmcskd.WindowedVisionTransformer: dict(
        arch=dict(embed_dims=8, num_layers=2, num_heads=1, feedforward_channels=8),
        img_size=16, patch_size=8, global_layers=[1],
    ),
    mmcskd.DeviceAmpOptimWrapper: dict(
        optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    ),
    mmcskd.DigitScenes: dict(out='none'),
    mmcskd.INaturalist: dict(data_root='none', year=2018),
}  # fmt: skip
# Of these a config gives no argument, or it is drawn elsewhere.
ELSEWHERE = {
    'BackboneLayerDecay': "MMPretrain's constructor, which sees its keys with the model",
    'DataCheckHook': 'no argument',
    'DeferredRuntimeInfoHook': 'no argument',
    'FiniteLossHook': 'no argument',
    'FrozenTeacherDistill': 'test_fuzz.py draws all of its keys',
    'PatchTokens': 'a record, not a part of a config',
    'ProgressHook': 'no argument',
    'ResponseBankHook': 'no argument',
    'Run': 'not a part of a config',
    'StudentFSDPStrategy': 'needs a process group; test_wrap below',
    'TorchvisionClassifier': "TimmClassifier's arguments; tests/app/test_models_by_name.py",
}
UNCHECKED = {'init_cfg', 'pipeline', 'self'}  # MMEngine's


def refused_by_us(error, key):
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    assert isinstance(error, (TypeError, ValueError)), repr(error)
    assert last.startswith(PACKAGE), f'{last}: {error!r}'
    assert key in str(error), (key, str(error))


def test_every_public_component_is_here():
    """Or it says where else."""
    public = {name for name in mmcskd.__all__ if inspect.isclass(getattr(mmcskd, name))}
    assert public == {component.__name__ for component in COMPONENTS} | set(ELSEWHERE)
    for name in (name for name, why in ELSEWHERE.items() if why == 'no argument'):
        own = getattr(mmcskd, name).__dict__.get('__init__')
        assert own is None or list(inspect.signature(own).parameters) == ['self'], name


def arguments(component):
    return [
        (component, name)
        for name, each in inspect.signature(component.__init__).parameters.items()
        if name not in UNCHECKED and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]


@pytest.mark.parametrize(
    'component, name',
    [pair for component in COMPONENTS for pair in arguments(component)],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_constructors(component, name):
    # Of what is made at once, memory is as large as the number.
    sizes = st.integers(-5, 5) | st.integers(min_value=MOST.get(name, 0) + 1)
    sizes |= SCALARS.filter(lambda value: type(value) is not int)

    @QUICK
    @given(value=sizes if name in MOST else ANYTHING)
    def holds(value):
        try:
            component(**{**COMPONENTS[component], name: value})
        except Exception as error:
            refused_by_us(error, name)

    holds()


SHAPES = st.lists(st.integers(1, 4), max_size=5)
TENSORS = st.builds(
    lambda shape, kind: torch.ones(shape, dtype=kind),
    SHAPES,
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.bool]),
)


@pytest.mark.parametrize('mode', ['hard', 'soft'])
@pytest.mark.parametrize('kind', [mmcskd.CSKDLoss, mmcskd.DeiTLoss], ids=lambda kind: kind.__name__)
def test_responses(kind, mode):
    """Any shapes and dtypes: a finite scalar, or our message."""
    loss = kind(mode=mode, **(dict(fusion_weight=0.5) if kind is mmcskd.CSKDLoss else {}))
    names = list(inspect.signature(kind.forward).parameters)[1:]

    @QUICK
    @given(values=st.lists(TENSORS | ANYTHING, min_size=len(names), max_size=len(names)))
    def holds(values):
        try:
            result = loss(**dict(zip(names, values)))
        except Exception as error:
            refused_by_us(error, kind.__name__)
        else:
            assert result.shape == () and torch.isfinite(result)

    holds()


@QUICK
@given(schedule=ANYTHING | st.fixed_dictionaries(dict(type=ANYTHING, value=ANYTHING)))
def test_schedules(schedule):
    try:
        assert callable(mmcskd.build_schedule(schedule))
    except Exception as error:
        refused_by_us(error, 'schedule')


@QUICK
@given(
    name=st.sampled_from(['linear', 'x2', 'cos', 'constant']),
    at=st.integers(0, 5),
    extra=st.sampled_from('xyz'),
)
def test_near_misses_are_told(name, at, extra):
    wrong = name[:at] + extra + name[at:]
    if wrong in mmcskd.FUSION_SCHEDULES.module_dict:
        return
    with pytest.raises(ValueError, match=f'"{wrong}" is no registered fusion schedule') as error:
        mmcskd.build_schedule(wrong)
    if len(name) > 2:
        assert f'"{name}"' in str(error.value)


KEYS = [pair for component in COMPONENTS for pair in arguments(component) if len(pair[1]) > 3]


@QUICK
@given(pair=st.sampled_from(KEYS), at=st.integers(0, 20))
def test_misspelt_keys_are_told(pair, at):
    component, name = pair
    known = {each for _, each in arguments(component)}
    wrong = name[: at % len(name)] + name[at % len(name) + 1 :]
    with pytest.raises(ValueError, match=f'part has no key "{wrong}"') as error:
        check_keys({wrong: 1}, known, 'part')
    assert f'"{name}"' in str(error.value)


TYPES = {
    name: registry
    for registry in (MODELS, HOOKS)
    for name, kind in registry.module_dict.items()
    if kind.__module__.startswith('mmcskd.')
}


@pytest.mark.parametrize('prefix', ['', 'mmrazor.'])
@pytest.mark.parametrize('scope', ['mmpretrain', 'mmrazor'])
def test_misspelt_types_are_told(prefix, scope):
    """In the scope of the shipped configs, spelt with ``mmrazor.``, and in their own scope."""

    @QUICK
    @given(name=st.sampled_from(sorted(TYPES)), at=st.integers(0, 40))
    def holds(name, at):
        wrong = prefix + name[: at % len(name)] + name[at % len(name) + 1 :]
        with pytest.raises(ValueError, match=f'type "{wrong}" is not registered') as error:
            check_part(dict(type=wrong, _scope_=scope), TYPES[name], 'part')
        spelt = name if scope == 'mmrazor' else f'mmrazor.{name}'
        assert f'"{spelt}"' in str(error.value)

    holds()


@pytest.mark.parametrize('key', ['mean', 'std', 'to_rgb', 'size', 'sizes'])
def test_teacher_view(key):
    from mmcskd.teacher.teacher_view import fit_view

    @QUICK
    @given(value=ANYTHING)
    def holds(value):
        try:
            fit_view(torch.nn.Identity(), torch.nn.Identity(), {key: value})
        except Exception as error:
            refused_by_us(error, key)

    holds()


@QUICK
@given(wrap=ANYTHING)
def test_wrap(wrap):
    """Refused before a process group is set up; other values are compared with the model."""
    names = isinstance(wrap, list) and all(isinstance(name, str) for name in wrap)
    if isinstance(wrap, str) or names:
        return
    with pytest.raises(TypeError) as error:
        mmcskd.StudentFSDPStrategy(wrap=wrap)
    refused_by_us(error.value, 'wrap')


@pytest.mark.parametrize('key', ['checkpoint', 'out', 'to', 'config'])
def test_export(key, tmp_path):
    @QUICK
    @given(value=ANYTHING)
    def holds(value):
        given = dict(checkpoint='none.pth', out=str(tmp_path / 'out.pth'), to='timm')
        with pytest.raises((TypeError, ValueError)) as error:
            export_student(**{**given, key: value})
        assert traceback.extract_tb(error.value.__traceback__)[-1].filename.startswith(PACKAGE)

    holds()
