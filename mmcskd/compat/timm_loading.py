import functools
import pickle
from importlib import import_module
from typing import Any, Callable


def bridge_timm_loading(load: Callable) -> None:
    """Let MMPretrain's timm models read ``checkpoint_path`` like every other checkpoint.

    Symptom: ``TIMMBackbone(checkpoint_path=…)`` executes what lies in the file with one release of
    timm and torch, and with another refuses what MMEngine reads.
    Cause: timm reads the file itself, with its own rules and errors.
    Applies: every timm and torch. timm is imported when such a model is built, not before.

    Args:
        load (Callable): Reads a file: (file, map_location) → content.
    """
    from mmpretrain.models import TIMMBackbone, TimmClassifier

    for kind in (TIMMBackbone, TimmClassifier):
        if not hasattr(kind.__init__, '__wrapped__'):
            kind.__init__ = _reading_by(load, kind.__init__)


def _reading_by(load: Callable, stock: Callable) -> Callable:
    @functools.wraps(stock)
    def init(self, *args, **kwargs) -> None:
        try:
            from timm.models import _helpers

            vars(_helpers)['torch'] = _Torch(load)
        except ImportError:  # the stock constructor raises an error
            pass
        stock(self, *args, **kwargs)

    return init


class _Torch:
    """The ``torch`` of timm's helpers, with another ``load``."""

    def __init__(self, load: Callable) -> None:
        self._load = load

    def load(self, file: Any, map_location: Any = None, **_: Any) -> Any:
        try:
            return self._load(str(file), map_location)
        except pickle.UnpicklingError as error:
            # timm catches this type to give its own advice.
            raise ValueError(str(error)) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module('torch'), name)
