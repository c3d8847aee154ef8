"""Parts of a distiller that MMRazor brings are checked as this package's own."""

import pytest
from mmengine.config import Config
from mmrazor.registry import MODELS
from models import CONFIGS, algorithm_config


def plus(place, value):
    """The small pair under CSKD+'s distiller, with MMRazor's loss on one token, another value."""
    cfg = Config.fromfile(CONFIGS / 'cskd-plus_deit-ti_regnety.py')
    distiller = cfg.model.distiller
    distiller.distill_losses.loss_cls = dict(type='KLDivergence', tau=1.0, loss_weight=1.0)
    names = dict(student_logits='preds_S', teacher_logits='preds_T')
    mapping = distiller.loss_forward_mappings.loss_cls
    distiller.loss_forward_mappings.loss_cls = {names[key]: mapping[key] for key in names}
    cfg.merge_from_dict({f'model.distiller.{place}': value})
    return algorithm_config(distiller=cfg.model.distiller.to_dict())


@pytest.mark.parametrize(
    'place, value',
    [
        ('distill_losses.loss_cls.tau', 'linear'),
        ('distill_losses.loss_cls.loss_weight', None),
        ('student_recorders.logits.source', None),
        ('student_recorders.logits.source', 3),
    ],
)
def test_a_value_of_another_type(place, value):
    with pytest.raises(TypeError, match=f'model.distiller.{place} is {value!r}, expected'):
        MODELS.build(plus(place, value))


def test_the_whole_student_is_no_source():
    message = r'student_recorders\.logits\.source is "", the whole student'
    with pytest.raises(ValueError, match=message):
        MODELS.build(plus('student_recorders.logits.source', ''))


def test_a_source_that_is_not_there():
    message = r'model\.distiller\.student_recorders\.logits\.source: "head\.fc" is not in the model'
    with pytest.raises(ValueError, match=message):
        MODELS.build(plus('student_recorders.logits.source', 'head.fc'))


def test_the_shipped_one_is_built():
    assert MODELS.build(plus('distill_losses.loss_cls.tau', 2.0)).distiller
