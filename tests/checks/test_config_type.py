"""One reading of a type, however a config spells it."""

import pytest
from mmengine.config import Config

from mmcskd import CKFHook, CSKDLoss
from mmcskd.app.launch import check_fusion
from mmcskd.checks.config_type import type_name


@pytest.mark.parametrize('kind', ['CSKDLoss', 'mmrazor.CSKDLoss', CSKDLoss])
def test_every_spelling(kind):
    assert type_name(kind) == type_name(dict(type=kind)) == 'CSKDLoss'


def test_classes_are_steered_too():
    """A config may give the class itself."""
    losses = dict(loss=dict(type=CSKDLoss))
    cfg = Config(dict(model=dict(distiller=dict(distill_losses=losses))))
    with pytest.raises(ValueError, match=r'distill_losses\.loss has no fusion weight'):
        check_fusion(cfg)
    cfg.custom_hooks = [dict(type=CKFHook)]
    check_fusion(cfg)
