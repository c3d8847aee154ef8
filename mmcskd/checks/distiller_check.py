"""Refuse a distiller whose recorders, connectors and losses do not fit together."""

import inspect
from typing import Any, Dict

from mmrazor.registry import MODELS, TASK_UTILS

from .part import ANNOTATED, check_keys, check_part, check_value, type_name
from .suggest import nearest

PARTS = (
    ('student_recorders', TASK_UTILS, 'Recorder'),
    ('teacher_recorders', TASK_UTILS, 'Recorder'),
    ('connectors', MODELS, ''),
    ('distill_losses', MODELS, ''),
)
INDEXES = ('record_idx', 'data_idx', 'connector_idx')
RECORD_KEYS = ('recorder', 'from_student', *INDEXES, 'connector')


def check_distiller(distiller: Any, key: str = 'model.distiller') -> None:
    """Check that recorders, connectors, losses and their mappings fit together.

    Args:
        distiller (Any): The config of MMRazor's ``ConfigurableDistiller``.
        key (str): Its config key, for messages. Defaults to ``'model.distiller'``.

    Raises:
        TypeError: For a part of another type.
        ValueError: For an unknown or missing name.
    """
    if check_part(distiller, MODELS, key).__name__ != 'ConfigurableDistiller':
        return
    parts: Dict[str, Any] = {}
    kinds: Dict[str, Any] = {}
    for name, registry, suffix in PARTS:
        parts[name] = distiller.get(name) or {}
        if not isinstance(parts[name], dict):
            raise TypeError(f'{key}.{name} is {parts[name]!r}, expected a dict.')
        for each, config in parts[name].items():
            several = name == 'connectors' and isinstance(config, list) and config
            for one in config if several else [config]:
                place = f'{key}.{name}.{each}'
                # MMRazor's annotations of connectors know no None.
                held = ANNOTATED if name == 'connectors' else (*ANNOTATED, 'mmrazor')
                kind = check_part(one, registry, place, suffix, annotated=held)
                if suffix and kind.__module__.startswith('mmrazor.'):
                    # Its own recorders hand their arguments on without a name.
                    check_value(one.get('source'), str, f'{place}.source')
                    if name == 'student_recorders' and not one['source']:
                        raise ValueError(
                            f'{place}.source is "", the whole student, which returns losses in '
                            'training: name the module whose output is compared.'
                        )
                kinds[each] = kind
    losses, mappings = parts['distill_losses'], distiller.get('loss_forward_mappings') or {}
    check_keys(mappings, mappings, f'{key}.loss_forward_mappings')
    for name in mappings:
        _refers(name, losses, f'{key}.loss_forward_mappings has a key', f'{key}.distill_losses')
    for loss in losses:
        place = f'{key}.loss_forward_mappings.{loss}'
        if loss not in mappings:
            raise ValueError(f'{place} is missing: without it the loss is never computed.')
        inputs = list(inspect.signature(kinds[loss].forward).parameters.values())[1:]
        check_keys(mappings[loss], [each.name for each in inputs], place)
        for each in inputs:
            if each.name in mappings[loss]:
                _check_record(mappings[loss][each.name], parts, key, f'{place}.{each.name}')
            elif each.default is each.empty:
                raise ValueError(
                    f'{place} lacks "{each.name}", which {kinds[loss].__name__} needs.'
                )


def _check_record(record: Any, parts: dict, key: str, place: str) -> None:
    """Check that the record of a mapping will exist."""
    check_keys(record, RECORD_KEYS, place)
    for name in ('recorder', 'from_student'):
        if name not in record:
            raise ValueError(f'{place} lacks "{name}".')
    check_value(record['from_student'], bool, f'{place}.from_student')
    for name in INDEXES:
        index = record.get(name)
        optional = index is None and name != 'record_idx'
        if name in record and not optional and (type(index) is not int or index < 0):
            raise TypeError(f'{place}.{name} is {index!r}, expected a whole number >= 0.')
    side = 'student_recorders' if record['from_student'] else 'teacher_recorders'
    of = f'{key}.{side} (from_student={record["from_student"]})'
    _refers(record['recorder'], parts[side], f'{place}.recorder', of)
    if record.get('connector') is not None:
        _refers(record['connector'], parts['connectors'], f'{place}.connector', f'{key}.connectors')
    # This package's recorders have one record a step, with this number of entries.
    kind = type_name(parts[side][record['recorder']])
    if kind not in ('SpatialResponse', 'PatchToken'):
        return
    if record.get('record_idx', 0) != 0:
        raise ValueError(f'{place}.record_idx is {record["record_idx"]}, expected 0.')
    index = record.get('data_idx')
    kept = parts[side][record['recorder']].get('keep_map', False)
    if kind == 'SpatialResponse' and index not in ((0, 1, 2) if kept else (0, 1)):
        raise ValueError(
            f'{place}.data_idx is {index}, expected 0 (the spatial response), 1 (the logits) or, '
            'if the recorder has keep_map=True, 2 (the feature map).'
        )
    if kind == 'PatchToken' and (index is not None or record.get('connector') is None):
        raise ValueError(
            f'{place} takes a record of tokens as it is, through a connector: set its "connector" '
            'and leave out data_idx.'
        )


def _refers(name: Any, there: dict, place: str, to: str) -> None:
    if not isinstance(name, str) or name not in there:
        raise ValueError(f'{place} "{name}" is none of {to}. ' + nearest(str(name), there))


def sourceless(error: AssertionError, distiller: dict) -> Exception:
    """What MMRazor says of a recorder whose source the model has not, with its config key.

    Args:
        error (AssertionError): MMRazor's.
        distiller (dict): The config.

    Returns:
        Exception: A ``ValueError``, or the error itself if it is of no source.
    """
    for side in ('student_recorders', 'teacher_recorders'):
        for name, recorder in (distiller.get(side) or {}).items():
            if str(error) == f'"{recorder.get("source")}" is not in the model.':
                return ValueError(f'model.distiller.{side}.{name}.source: {error}')
    return error
