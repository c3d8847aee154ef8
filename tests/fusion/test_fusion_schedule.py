import math

import pytest

from mmcskd import FUSION_SCHEDULES, build_schedule


@pytest.mark.parametrize(
    'schedule, values',
    [
        ('linear', (1.0, 0.75, 0.5, 0.0)),
        ('x2', (1.0, 0.5625, 0.25, 0.0)),
        ('cos', (1.0, math.cos(math.pi / 8), math.sqrt(0.5), 0.0)),
        ('constant', (1.0, 1.0, 1.0, 1.0)),
        (dict(type='constant', value=0.3), (0.3, 0.3, 0.3, 0.3)),
        (lambda progress: progress, (0.0, 0.25, 0.5, 1.0)),
    ],
)
def test_values(schedule, values):
    function = build_schedule(schedule)
    assert [function(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(values, abs=1e-12)


def test_registered_schedule():
    @FUSION_SCHEDULES.register_module()
    def steps_for_a_test(progress, number=2):
        return 1 - math.floor(progress * number) / number

    try:
        assert build_schedule(dict(type='steps_for_a_test', number=4))(0.3) == 0.75
    finally:
        FUSION_SCHEDULES.module_dict.pop('steps_for_a_test')


@pytest.mark.parametrize(
    'schedule, error, message',
    [
        ('liner', ValueError, r'CKFHook\.schedule: type "liner" .*Nearest: "linear"'),
        (dict(type='constant', weight=1), ValueError, r'CKFHook\.schedule=.*weight'),
        (dict(type='constant', value=3), ValueError, r'CKFHook\.schedule=.*value.* begins with 3'),
        (dict(type='constant', value=float('nan')), ValueError, r'begins with nan, expected a fu'),
        (dict(value=1), TypeError, r'CKFHook\.schedule takes .*"type"'),
        (3, TypeError, r'CKFHook\.schedule takes .*got 3'),
    ],
)
def test_bad_schedule(schedule, error, message):
    with pytest.raises(error, match=message):
        build_schedule(schedule)
