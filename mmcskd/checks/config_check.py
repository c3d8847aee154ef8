"""Refuse a config whose parts do not fit together, with the key to change.

MMRazor finds some of these by ``assert``, some in the first step, and a misspelt key gets Python's
word for it. Checked are names: types, keys, and what refers to what. The values of this package's
parts are checked by the parts themselves.
"""

import inspect
from typing import Any, Iterable, Optional

from mmengine.hooks import Hook
from mmengine.registry import Registry
from mmrazor.registry import HOOKS, MODELS, TASK_UTILS

from .config_type import type_name
from .suggest import nearest

RECORD_KEYS = ('recorder', 'from_student', 'record_idx', 'data_idx', 'connector', 'connector_idx')
# Keys that the registry takes for itself.
SCOPE = ('type', '_scope_')


def check_keys(config: Any, known: Iterable[str], key: str) -> None:
    """Whether a part of a config is a dict of known keys.

    Args:
        config (Any): The part.
        known (Iterable[str]): Its keys.
        key (str): Where it stands, for messages.

    Raises:
        TypeError: If it is no dict.
        ValueError: For another key, with the nearest known ones.
    """
    if not isinstance(config, dict):
        raise TypeError(f'{key} is {config!r}, expected a dict.')
    for name in config:
        if name not in known:
            raise ValueError(f'{key} has no key "{name}". ' + nearest(str(name), known))


def check_part(
    config: Any, registry: Registry, key: str, suffix: str = '', given: Iterable[str] = ()
) -> Optional[type]:
    """Whether a part names a registered type and gives it the keys it takes.

    Args:
        config (Any): ``dict(type=…, …)``.
        registry (Registry): Where the type is.
        key (str): Where the part stands, for messages.
        suffix (str): What the registry's names end with and the config's do not. Defaults to ''.
        given (Iterable[str]): Keys that whoever builds it adds. Defaults to none.

    Returns:
        type: The class or function.

    Raises:
        TypeError: If the part is no dict or its type no name.
        ValueError: For an unknown type or key, or a key that is missing.
    """
    if not isinstance(config, dict):
        raise TypeError(f'{key} is {config!r}, expected dict(type=…).')
    if not isinstance(config.get('_scope_', 'mmrazor'), str) or config.get('_scope_') == '':
        raise TypeError(f'{key}._scope_ is {config["_scope_"]!r}, expected the name of a package.')
    if 'type' not in config:
        raise ValueError(f'{key} has no "type".')
    kind = config['type']
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(config.get('_scope_')) as scoped:
            found = scoped.get(kind + suffix) if kind else None
            names = _names(scoped, registry, suffix)
        if found is None:
            near = nearest(kind.rpartition('.')[2], names)
            for name, spelt in names.items():
                near = near.replace(f'"{name}"', f'"{spelt}"')
            raise ValueError(f'{key}.type "{kind}" is not registered. {near}')
        kind = found
    if not callable(kind) or (suffix and not isinstance(config['type'], str)):
        raise TypeError(f'{key}.type is {kind!r}, expected a registered name.')
    known, needed = _arguments(kind)
    if known is not None:
        check_keys(config, (*known, *given, *SCOPE), key)
    for name in needed:
        if name not in config and name not in given:
            near = nearest(
                name, [other for other in config if other not in (*(known or ()), *SCOPE)]
            )
            raise ValueError(f'{key} lacks "{name}", which {kind.__name__} needs. {near}')
    return kind


def _names(scoped: Registry, registry: Registry, suffix: str) -> dict:
    """From the name of each type to how the config may spell it in its scope."""
    found = {}
    for each in (registry, scoped.parent, scoped):
        prefix = f'{registry.scope}.' if each is registry and each is not scoped else ''
        for name in each.module_dict if each is not None else ():
            bare = name[: len(name) - len(suffix)]
            found[bare] = prefix + bare
    return found


def _arguments(kind) -> tuple:
    """Names that a constructor takes, or None if any; and those that it needs."""
    known, needed = {}, []
    for cls in inspect.getmro(kind) if inspect.isclass(kind) else (kind,):
        init = cls.__dict__.get('__init__') if inspect.isclass(cls) else cls
        if cls is object:
            return tuple(known), needed
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())
        parameters = parameters[1:] if inspect.isclass(cls) else parameters
        for each in parameters:
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                if each.name not in known and each.default is each.empty and not known.get('*'):
                    needed.append(each.name)
                known[each.name] = True
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            return tuple(known), needed
        # Here the rest goes to the parent; elsewhere it may go to whatever is built inside.
        if kind.__module__.split('.')[0] not in ('mmcskd', 'mmrazor'):
            return None, needed
        # What a parent needs its child may give it.
        known['*'] = True
    return None, needed


def check_distiller(distiller: Any, key: str = 'model.distiller') -> None:
    """Whether recorders, connectors, losses and what feeds what fit together.

    Args:
        distiller (Any): The config of MMRazor's ``ConfigurableDistiller``.
        key (str): Where it stands, for messages. Defaults to ``'model.distiller'``.

    Raises:
        TypeError: For a part that is of another kind than it must be.
        ValueError: For an unknown name, or one that is missing.
    """
    kind = check_part(distiller, MODELS, key)
    if kind.__name__ != 'ConfigurableDistiller':
        return
    parts = {}
    for name, registry, suffix in (
        ('student_recorders', TASK_UTILS, 'Recorder'),
        ('teacher_recorders', TASK_UTILS, 'Recorder'),
        ('connectors', MODELS, ''),
        ('distill_losses', MODELS, ''),
    ):
        parts[name] = distiller.get(name) or {}
        if not isinstance(parts[name], dict):
            raise TypeError(f'{key}.{name} is {parts[name]!r}, expected a dict.')
        for each, config in parts[name].items():
            several = name == 'connectors' and isinstance(config, list) and config
            configs = config if several else [config]
            for one in configs:
                check_part(one, registry, f'{key}.{name}.{each}', suffix)
    mappings = distiller.get('loss_forward_mappings') or {}
    check_keys(mappings, mappings, f'{key}.loss_forward_mappings')
    for name in mappings:
        if name not in parts['distill_losses']:
            raise ValueError(
                f'{key}.loss_forward_mappings has a key "{name}", which is none of '
                f'{key}.distill_losses. ' + nearest(str(name), parts['distill_losses'])
            )
    for loss, config in parts['distill_losses'].items():
        place = f'{key}.loss_forward_mappings.{loss}'
        if loss not in mappings:
            raise ValueError(f'{place} is missing: without it the loss is never computed.')
        kind = config['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        inputs = list(inspect.signature(kind.forward).parameters.values())[1:]
        check_keys(mappings[loss], [each.name for each in inputs], place)
        for each in inputs:
            if each.name in mappings[loss]:
                _check_record(mappings[loss][each.name], parts, key, f'{place}.{each.name}')
            elif each.default is each.empty:
                raise ValueError(f'{place} lacks "{each.name}", which {kind.__name__} needs.')


def _check_record(record: Any, parts: dict, key: str, place: str) -> None:
    """Whether a record that feeds a loss is one that will be there."""
    check_keys(record, RECORD_KEYS, place)
    for name in ('recorder', 'from_student'):
        if name not in record:
            raise ValueError(f'{place} lacks "{name}".')
    if not isinstance(record['from_student'], bool):
        raise TypeError(f'{place}.from_student is {record["from_student"]!r}, expected a bool.')
    for name in ('record_idx', 'data_idx', 'connector_idx'):
        index = record.get(name)
        optional = index is None and name != 'record_idx'
        if name in record and not optional and (type(index) is not int or index < 0):
            raise TypeError(f'{place}.{name} is {index!r}, expected a whole number >= 0.')
    side = 'student_recorders' if record['from_student'] else 'teacher_recorders'
    of = f'{key}.{side} (from_student={record["from_student"]})'
    _refers(record['recorder'], parts[side], f'{place}.recorder', of)
    if record.get('connector') is not None:
        _refers(record['connector'], parts['connectors'], f'{place}.connector', f'{key}.connectors')
    # How many parts this package's own records have, and that there is one a step.
    kind = type_name(parts[side][record['recorder']])
    if kind not in ('SpatialResponse', 'PatchToken'):
        return
    if record.get('record_idx', 0) != 0:
        raise ValueError(f'{place}.record_idx is {record["record_idx"]}, expected 0.')
    index = record.get('data_idx')
    if kind == 'SpatialResponse' and index not in (0, 1):
        raise ValueError(
            f'{place}.data_idx is {index}, expected 0 (the spatial response) or 1 (the logits).'
        )
    if kind == 'PatchToken' and (index is not None or record.get('connector') is None):
        raise ValueError(
            f'{place} takes a record of tokens as it is, through a connector: set its "connector" '
            'and leave out data_idx.'
        )


def _refers(name: Any, there: dict, place: str, to: str) -> None:
    if not isinstance(name, str) or name not in there:
        raise ValueError(f'{place} "{name}" is none of {to}. ' + nearest(str(name), there))


def check_config(cfg: Any) -> None:
    """Whether the model and the hooks of a training config are what they say.

    Args:
        cfg (mmengine.Config): The training config.

    Raises:
        TypeError: For a part that is of another kind than it must be.
        ValueError: For an unknown name, or one that is missing.
    """
    model = cfg.get('model')
    kind = check_part(model, MODELS, 'model')
    if 'distiller' in model and kind.__module__.startswith('mmcskd.'):
        with MODELS.switch_scope_and_registry(model.get('_scope_')):
            check_distiller(model['distiller'])
        for name in ('architecture', 'teacher'):
            part = model.get(name)
            if isinstance(part, dict):
                if 'cfg_path' not in part:
                    check_part(part, MODELS, f'model.{name}')
                if 'head' in part and 'cfg_path' not in part:
                    with MODELS.switch_scope_and_registry(part.get('_scope_')):
                        check_part(part['head'], MODELS, f'model.{name}.head')
    for name, kinds in (('custom_hooks', (list, tuple)), ('default_hooks', (dict,))):
        hooks = cfg.get(name)
        if hooks is None:
            continue
        if not isinstance(hooks, kinds):
            raise TypeError(f'{name} is {hooks!r}, expected a {kinds[0].__name__}.')
        named = isinstance(hooks, dict)
        for place, hook in hooks.items() if named else enumerate(hooks):
            left_out = named and hook is None
            if not left_out and not isinstance(hook, Hook):
                check_part(hook, HOOKS, f'{name}.{place}', given=('priority',))
