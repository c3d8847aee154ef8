"""timm's own reading of weights, by this package's loader."""

import functools
import pickle
from typing import Any

import torch

from .safe_loading import load_from_local


def register() -> None:
    """Let MMPretrain's models of timm read ``checkpoint_path`` as every checkpoint is read.

    timm reads such files by itself: by which rules, and with which advice where it refuses one,
    depends on its release and on torch's.
    """
    from mmpretrain.models import TIMMBackbone, TimmClassifier

    for kind in (TIMMBackbone, TimmClassifier):
        if not hasattr(kind.__init__, '__wrapped__'):
            kind.__init__ = _reading_by_ours(kind.__init__)


def _reading_by_ours(stock):
    @functools.wraps(stock)
    def init(self, *args, **kwargs) -> None:
        # Imported by whoever builds such a model, not by `import mmcskd`.
        try:
            from timm.models import _helpers

            _helpers.torch = _Torch()
        except ImportError:  # which the stock constructor says
            pass
        stock(self, *args, **kwargs)

    return init


class _Torch:
    """``torch`` as timm's helpers see it."""

    def load(self, file: Any, map_location: Any = None, **_: Any) -> Any:
        try:
            return load_from_local(str(file), map_location)
        except pickle.UnpicklingError as error:
            # timm catches this type to give its own advice.
            raise ValueError(str(error)) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)
