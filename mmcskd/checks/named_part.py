"""What the checks of a run share: a part against the registry and the annotations of what takes it."""

import inspect
import math
import typing
from typing import Any, Callable, Container

from .config_check import check_keys, check_part
from .typed import fits, spelt

# The smallest value that means anything.
LEAST = dict(
    batch_size=1, num_workers=0, num_batch_per_epoch=1, prefetch_factor=1, timeout=0, max_epochs=1,
    max_iters=1, val_begin=0, val_interval=1, accumulative_counts=1, base_batch_size=1, seed=0,
    opencv_num_threads=0, resource_limit=1, interval=1, num_repeats=1, begin=0,
)  # fmt: skip


def check_value(part: dict, key: str, hint: Any, place: str = '') -> None:
    """Whether a value is of its type and no number below the least that means anything.

    Args:
        part (dict): What has it, or does not.
        key (str): Its key.
        hint (Any): Its type, as in an annotation.
        place (str): Where the part stands, for messages. Defaults to the top of the config.

    Raises:
        TypeError: If it is of another type.
        ValueError: If it is too small or not a number.
    """
    if key not in part:
        return
    value, name = part[key], f'{place}.{key}' if place else key
    if not fits(value, hint):
        raise TypeError(f'{name} is {value!r}, expected {spelt(hint)}.')
    if isinstance(value, (int, float)) and not value >= LEAST.get(key, -math.inf):
        least = f' >= {LEAST[key]}' if key in LEAST else ''
        raise ValueError(f'{name} is {value!r}, expected a number{least}.')


def check_options(part: Any, options: dict, place: str) -> None:
    """Whether a part has no keys but these, with values of their types.

    Args:
        part (dict | None): The part.
        options (dict): From key to type.
        place (str): Where it stands, for messages.

    Raises:
        TypeError: If a value is of another type.
        ValueError: For another key, or a value that is too small.
    """
    if part is None:
        return
    check_keys(part, options, place)
    for key, hint in options.items():
        check_value(part, key, hint, place)


def check_given(kind: Callable, part: dict, key: str, left_out: Container = ()) -> None:
    """Values against the annotations of what takes them.

    Args:
        kind (Callable): The class or function.
        part (dict): Its arguments.
        key (str): Where they stand, for messages.
        left_out (Container): Arguments that are not looked at. Defaults to none.

    Raises:
        TypeError: If a value is of another type.
        ValueError: If it is too small.
    """
    init = kind.__init__ if inspect.isclass(kind) else kind
    try:
        hints = typing.get_type_hints(init)
    except (NameError, TypeError):  # an annotation that cannot be evaluated here
        return
    for name in part:
        if name in hints and name not in left_out:
            check_value(part, name, hints[name], key)


def check_named(part: Any, registry, key: str, given: tuple = ()) -> Callable:
    """Whether a part names a registered type, gives it the keys that it takes, of their types.

    Args:
        part (Any): The part.
        registry (mmengine.Registry): Where its type is to be found.
        key (str): Where it stands, for messages.
        given (tuple): Arguments that whoever builds it adds. Defaults to none.

    Returns:
        Callable: What it names.

    Raises:
        TypeError: If it or a value is of another type.
        ValueError: For an unknown or missing key, name, or a value that is too small.
    """
    kind = check_part(part, registry, key, given=given)
    # Elsewhere annotations are not to be relied on: MMPretrain's own configs break them.
    if kind.__module__.split('.')[0] in ('mmengine', 'torch'):
        check_given(kind, part, key, left_out=given)
    return kind


def built(key: str, part: Any, build: Callable, *arguments, **options) -> Any:
    """What ``build`` makes of it, or an error that names the key and shows the part.

    Args:
        key (str): Where the part stands.
        part (Any): The part.
        build (Callable): Called with the arguments and options.

    Raises:
        ValueError: If ``build`` raises whatever it is.
    """
    try:
        return build(*arguments, **options)
    except Exception as error:
        raise ValueError(
            f'{key} cannot be used: {type(error).__name__}: {error}. Given was {shown(part)}.'
        ) from error


def shown(part: Any) -> str:
    """A part of a config as text, not too long.

    Args:
        part (Any): The part.
    """
    text = repr(part.to_dict() if hasattr(part, 'to_dict') else part)
    return text if len(text) < 600 else f'{text[:600]} …'
