"""Check the types of arguments against the annotations of a signature."""

import collections.abc
import functools
import inspect
import numbers
import types
import typing
from typing import Any, Callable, TypeVar, cast

from .sizes import check_most

# ``Union[a, b]`` and, from Python 3.10 on, ``a | b``.
UNIONS = (typing.Union, getattr(types, 'UnionType', typing.Union))


Init = TypeVar('Init', bound=Callable[..., Any])


def typed(init: Init) -> Init:
    """Check the arguments of a constructor or function against its annotations.

    Without it ``temperature='2'`` or ``grid=7`` in a config would fail later, in a comparison or
    deep in torch. A bool is not accepted as a number; an int is accepted as a float.

    Args:
        init (Callable): An ``__init__``, or a function, with annotated arguments.

    Returns:
        Callable: The same function; it raises TypeError with class, argument, value and type, and
            ValueError for a size that is implausibly large.
    """
    signature = inspect.signature(init)
    of_class = 'self' in signature.parameters

    @functools.wraps(init)
    def checked(*args, **kwargs):
        owner = type(args[0]).__name__ if of_class else init.__name__
        hints = _hints(init)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f'{owner}: {error}') from None
        for name, value in given.items():
            if name in hints and not fits(value, hints[name]):
                raise TypeError(f'{owner}.{name} is {value!r}, expected {spelt(hints[name])}.')
            check_most(name, value, f'{owner}.{name}')
        return init(*args, **kwargs)

    return cast(Init, checked)


@functools.cache
def _hints(init: Callable) -> dict:
    kinds = inspect.signature(init).parameters
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: hint
        for name, hint in typing.get_type_hints(init).items()
        if name != 'return' and kinds[name].kind not in variable
    }


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type.

    Args:
        value (Any): The value.
        hint (Any): An annotation: plain types, ``Union``, ``Optional``, ``Sequence``, ``Dict``,
            ``Callable``; any other annotation accepts every value.
    """
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return any(fits(value, each) for each in inner)
    if origin is tuple and inner and Ellipsis not in inner:
        return (
            fits(value, typing.Sequence)
            and len(value) == len(inner)
            and all(map(fits, value, inner))
        )
    if origin in (collections.abc.Sequence, list, tuple):
        if isinstance(value, (str, bytes)) or not isinstance(value, collections.abc.Sequence):
            return False
        return all(fits(item, inner[0]) for item in value) if inner else True
    if origin in (dict, collections.abc.Mapping):
        if not isinstance(value, dict):
            return False
        return not inner or all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is collections.abc.Callable:
        return callable(value)
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if hint is collections.abc.Sequence:
        return isinstance(value, collections.abc.Sequence) and not isinstance(value, (str, bytes))
    return isinstance(value, hint) if isinstance(hint, type) else True


NAMES = {
    float: 'a number',
    int: 'a whole number',
    str: 'text',
    bool: 'True or False',
    dict: 'a dict',
}


def spelt(hint: Any) -> str:
    """An annotation in words.

    Args:
        hint (Any): As in :func:`fits`.
    """
    if hint in NAMES:
        return NAMES[hint]
    if hint is type(None):
        return 'None'
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return ' or '.join(spelt(each) for each in inner)
    if origin is collections.abc.Callable:
        return 'a function'
    if origin in (dict, collections.abc.Mapping):
        return 'a dict'
    if origin is tuple and inner and Ellipsis not in inner:
        return f'{len(inner)} of: ' + ', '.join(map(spelt, inner))
    if origin is not None:
        return f'a list, each {spelt(inner[0])},' if inner else 'a list'
    return getattr(hint, '__name__', str(hint))
