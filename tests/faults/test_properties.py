"""Fault: any wrong argument. Expected: ValueError or TypeError with the name of the key, from this package."""

import inspect
import traceback
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmcskd
from mmcskd.export import export_student

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
    mmcskd.CKFHook: {},
    mmcskd.PatchTokenConnector: {},
    mmcskd.DistTokenConnector: {},
    mmcskd.PatchTokenRecorder: {},
    mmcskd.SpatialResponseRecorder: {},
    mmcskd.CSKDDeiTHead: dict(num_classes=3, in_channels=4),
    mmcskd.CSKDViTHead: dict(num_classes=3, in_channels=4),
    mmcskd.FinetuneDeiTHead: dict(num_classes=3, in_channels=4),
    mmcskd.DistilledInitHook: {},
    mmcskd.PreemptionHook: {},
    mmcskd.AtomicCheckpointHook: {},
    mmcskd.LoadWholeImage: {},
}
UNCHECKED = {'init_cfg', 'self'}  # MMEngine's, read when weights are drawn
SIZES = {'num_classes', 'in_channels'}


def refused_by_us(error, key):
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    assert isinstance(error, (TypeError, ValueError)), repr(error)
    assert last.startswith(PACKAGE), f'{last}: {error!r}'
    assert key in str(error), (key, str(error))


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
    @QUICK
    @given(
        value=st.integers(-5, 5) | SCALARS.filter(lambda v: type(v) is not int)
        if name in SIZES
        else ANYTHING
    )
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


@pytest.mark.parametrize('key', ['mean', 'std', 'to_rgb', 'size', 'sizes'])
def test_teacher_view(key):
    from mmcskd.teacher_view import fit_view

    @QUICK
    @given(value=ANYTHING)
    def holds(value):
        try:
            fit_view(torch.nn.Identity(), torch.nn.Identity(), {key: value})
        except Exception as error:
            refused_by_us(error, key)

    holds()


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
