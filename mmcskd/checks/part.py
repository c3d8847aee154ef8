"""Compare one part of a config with the registry and with the signature of its type."""

import inspect
import math
import typing
from typing import Any, Callable, Collection, Dict, Iterable, List, Optional, Tuple, Union

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

from .sizes import check_most
from .suggest import nearest
from .typed import fits, spelt

SCOPES = ('mmengine', *MODULE2PACKAGE)
# Keys that the registry uses.
SCOPE = ('type', '_scope_')
# Packages whose classes pass unknown arguments to their parents. In other packages they may go
# anywhere.
TO_PARENTS = ('mmcskd', 'mmrazor', 'mmengine')
# Packages whose annotations hold; MMPretrain's own configs break those of its models.
ANNOTATED = ('mmengine', 'torch')
# But for these: MMEngine annotates the one as text, and stock configs of MMDetection divide for the
# other, which then is a float.
HINTS = dict(loss_scale=Union[str, float, dict], val_interval=float)
# The smallest meaningful value.
LEAST = dict(
    batch_size=1, num_workers=0, num_batch_per_epoch=1, prefetch_factor=1, timeout=0, max_epochs=1,
    max_iters=1, val_begin=0, val_interval=1, accumulative_counts=1, base_batch_size=1, seed=0,
    opencv_num_threads=0, resource_limit=1, interval=1, num_repeats=1, begin=0,
    pad_size_divisor=1, patience=0,
)  # fmt: skip


def type_name(kind: Any) -> str:
    """``'X'`` of ``'X'``, ``'scope.X'``, the class X itself, or a config of one of these types.

    Args:
        kind (Any): A type as in a config, or ``dict(type=…)``.
    """
    kind = kind.get('type') if isinstance(kind, dict) else kind
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', type(kind).__name__)
    return name.split('.')[-1]


def check_keys(part: Any, known: Iterable[str], key: str) -> None:
    """Check that a part of a config is a dict with known keys.

    Args:
        part (Any): The part.
        known (Iterable[str]): The known keys.
        key (str): Its config key, for messages.

    Raises:
        TypeError: If it is no dict.
        ValueError: For another key, with the nearest known ones.
    """
    if not isinstance(part, dict):
        raise TypeError(f'{key} is {part!r}, expected a dict.')
    for name in part:
        if name not in known:
            raise ValueError(f'{key} has no key "{name}". ' + nearest(str(name), known))


def check_value(value: Any, hint: Any, key: str) -> None:
    """Check the type of a value, and that a number is not NaN, too small or too large.

    Args:
        value (Any): The value.
        hint (Any): The type, as in an annotation.
        key (str): Its config key, for messages.

    Raises:
        TypeError: If it is of another type.
        ValueError: If it is too small, implausibly large or not a number.
    """
    if not fits(value, hint):
        raise TypeError(f'{key} is {value!r}, expected {spelt(hint)}.')
    name = key.rpartition('.')[2]
    check_most(name, value, key)
    least = LEAST.get(name)
    if isinstance(value, (int, float)) and not value >= (-math.inf if least is None else least):
        raise ValueError(
            f'{key} is {value!r}, expected a number{"" if least is None else f" >= {least}"}.'
        )
    if name == 'val_interval' and value % 1:
        raise ValueError(f'{key} is {value!r}, expected a whole number.')


def check_options(part: Any, hints: Dict[str, Any], key: str) -> None:
    """Check that a part has only these keys, with values of these types.

    Args:
        part (Any): The part.
        hints (dict): Type of each key.
        key (str): Its config key, for messages.

    Raises:
        TypeError: If it is no dict, or a value is of another type.
        ValueError: For another key, or a value that is too small.
    """
    check_keys(part, hints, key)
    for name, value in part.items():
        check_value(value, hints[name], f'{key}.{name}')


def check_arguments(
    kind: Callable, part: Any, key: str, given: Collection[str] = (), values: bool = True
) -> None:
    """Check the keys and value types of a part against the signature of a class or function.

    Args:
        kind (Callable): The class or function.
        part (Any): Its arguments, with or without ``type``.
        key (str): Their config key, for messages.
        given (Collection[str]): Arguments that its caller adds. Defaults to none.
        values (bool): Whether to check values by its annotations. Defaults to True.

    Raises:
        TypeError: If it is no dict, or a value is of another type.
        ValueError: For an unknown or missing key, or a value that is too small.
    """
    hints, needed, more = _parameters(kind)
    check_keys(part, part if more else (*hints, *given, *SCOPE), key)
    for name in needed:
        if name not in part and name not in given:
            others = [other for other in part if other not in hints and other not in SCOPE]
            raise ValueError(
                f'{key} lacks "{name}", which {kind.__name__} needs. ' + nearest(name, others)
            )
    for name, value in part.items() if values else ():
        if name in hints and name not in given:
            check_value(value, hints[name], f'{key}.{name}')


def check_part(
    part: Any,
    registry: Registry,
    key: str,
    suffix: str = '',
    given: Collection[str] = (),
    annotated: Collection[str] = ANNOTATED,
) -> Callable:
    """Check that a part names a registered type, with keys and value types of its signature.

    Args:
        part (Any): ``dict(type=…, …)``.
        registry (Registry): The registry of the type.
        key (str): Config key of the part, for messages.
        suffix (str): End of the registered names that a config leaves out. Defaults to ''.
        given (Collection[str]): Keys that the caller adds. Defaults to none.
        annotated (Collection[str]): Packages whose annotations hold. Defaults to ``ANNOTATED``.

    Returns:
        Callable: The class or function.

    Raises:
        TypeError: If the part is no dict, its type no name, or a value of another type.
        ValueError: For an unknown type or key, a key that is missing, or a value that is too small.
    """
    if not isinstance(part, dict):
        raise TypeError(f'{key} is {part!r}, expected dict(type=…).')
    scope = part.get('_scope_')
    if '_scope_' in part and (not isinstance(scope, str) or not scope):
        raise TypeError(f'{key}._scope_ is {scope!r}, expected the name of a package.')
    if scope is not None and scope not in SCOPES and registry.root._search_child(scope) is None:
        raise ValueError(f'{key}._scope_ is "{scope}". ' + nearest(scope, SCOPES))
    if 'type' not in part:
        raise ValueError(f'{key} has no "type".')
    kind = part['type']
    if isinstance(kind, str):
        kind = registered(kind, registry, f'{key}.type', suffix, scope)
    elif not callable(kind) or suffix:
        raise TypeError(f'{key}.type is {kind!r}, expected a registered name.')
    check_arguments(kind, part, key, given, kind.__module__.split('.')[0] in annotated)
    return kind


def registered(name: str, registry: Registry, key: str, suffix: str = '', scope=None) -> Callable:
    """The class or function of a registered name.

    Args:
        name (str): The name.
        registry (Registry): The registry.
        key (str): Config key of the name, for messages.
        suffix (str): End of the registered names that a config leaves out. Defaults to ''.
        scope (str, optional): The first scope to search. Defaults to None: the default scope.

    Returns:
        Callable: The class or function.

    Raises:
        ValueError: If there is none, with the nearest names.
    """
    with registry.switch_scope_and_registry(scope) as scoped:
        found = scoped.get(name + suffix) if name else None
    if found is not None:
        return found
    spellings = {}
    for each in (registry, scoped.parent, scoped):
        prefix = f'{registry.scope}.' if each is registry and each is not scoped else ''
        for known in each.module_dict if each is not None else ():
            bare = known[: len(known) - len(suffix)]
            spellings[bare] = prefix + bare
    near = nearest(name.rpartition('.')[2], spellings)
    for bare, spelling in spellings.items():
        near = near.replace(f'"{bare}"', f'"{spelling}"')
    where = '' if scope is not None else f' Looked up in default_scope="{scoped.scope}".'
    raise ValueError(f'{key} "{name}" is not registered. {near}{where}')


def _parameters(kind: Callable) -> Tuple[Dict[str, Any], List[str], bool]:
    """Types of the arguments, the required ones, and whether further ones are accepted."""
    package = kind.__module__.split('.')[0]
    hints: Dict[str, Any] = {}
    needed, more, first = [], False, True
    for cls in inspect.getmro(kind)[:-1] if inspect.isclass(kind) else (kind,):
        init = cls.__dict__.get('__init__') if inspect.isclass(cls) else cls
        if init is None:
            continue
        annotations = _annotations(init)
        parameters = list(inspect.signature(init).parameters.values())[inspect.isclass(cls) :]
        for each in parameters:
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                # A child may set the required arguments of its parent.
                if first and each.default is each.empty:
                    needed.append(each.name)
                hint = annotations.get(each.name, _hint(each.default))
                hint = HINTS.get(each.name, hint)
                # `name: dict = None` is an Optional in the annotations of Python < 3.11 alone.
                hints.setdefault(each.name, Optional[hint] if each.default is None else hint)
        more, first = any(each.kind is each.VAR_KEYWORD for each in parameters), False
        if not more or package not in TO_PARENTS:
            break
    # MMEngine's hooks pass unknown arguments to the objects that they build.
    return hints, needed, more and package not in ('mmcskd', 'mmrazor')


def _annotations(init: Callable) -> Dict[str, Any]:
    try:
        return typing.get_type_hints(init)
    except (NameError, TypeError):  # an annotation that cannot be evaluated here
        return {}


def _hint(default: Any) -> Any:
    """The type of an argument without annotation, from its default."""
    if isinstance(default, (bool, str)):
        return type(default)
    if isinstance(default, (int, float)):
        return float
    if isinstance(default, tuple) and default and all(isinstance(each, float) for each in default):
        return Tuple[(float,) * len(default)]
    return Any
