"""Errors that name the config key of a part that cannot be built."""

import traceback
from pathlib import Path
from typing import Any, Callable

import torch

PACKAGE = str(Path(__file__).parents[1])


def built(key: str, build: Callable, *arguments, **options) -> Any:
    """Build a part of a config; an error names the part's key.

    Args:
        key (str): Config key of the part.
        build (Callable): Called with the other arguments, the first of which is the part.

    Returns:
        Any: What ``build`` returns.

    Raises:
        ValueError: For an error of ``build``. Errors of this package, which name their keys, and
            out-of-memory errors are raised unchanged.
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
