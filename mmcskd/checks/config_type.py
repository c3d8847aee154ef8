"""The name of the type that a part of a config asks for."""

from typing import Any


def type_name(kind: Any) -> str:
    """``'X'`` of ``'X'``, ``'scope.X'``, the class X itself, or a config with one of them as its type.

    Args:
        kind (Any): A type as a config may give it, or ``dict(type=…)``.
    """
    kind = kind.get('type') if isinstance(kind, dict) else kind
    return str(getattr(kind, '__name__', kind)).split('.')[-1]
