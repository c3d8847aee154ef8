"""A part of a config that cannot be built, told by its key."""

import traceback
from pathlib import Path
from typing import Any, Callable

import torch

PACKAGE = str(Path(__file__).parents[1])


def built(key: str, build: Callable, *arguments, **options) -> Any:
    """What ``build`` makes of a part of a config, or an error that names the part's key.

    Args:
        key (str): Where the part stands.
        build (Callable): Called with the arguments, the first of which is the part, and options.

    Returns:
        Any: What ``build`` returns.

    Raises:
        ValueError: From what ``build`` raised. Errors of this package, which name their keys, and
            a lack of memory are raised as they are.
    """
    try:
        return build(*arguments, **options)
    except (MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if isinstance(error, (ValueError, TypeError)) and last.filename.startswith(PACKAGE):
            raise
        part = arguments[0] if arguments else options
        shown = repr(part.to_dict() if hasattr(part, 'to_dict') else part)
        raise ValueError(
            f'{key} cannot be used: {type(error).__name__}: {error} ({last.filename}:'
            f'{last.lineno}). Given was {shown if len(shown) < 600 else f"{shown[:600]} …"}.'
        ) from error
