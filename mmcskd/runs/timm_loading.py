"""Make timm read weights by this package's loader."""

import functools
import pickle
from typing import Any

import torch

from .safe_loading import load_from_local


def register() -> None:
    """Let MMPretrain's timm models read ``checkpoint_path`` like every other checkpoint.

    timm reads such files itself; its rules and errors depend on the releases of timm and torch.
    """
    from mmpretrain.models import TIMMBackbone, TimmClassifier

    for kind in (TIMMBackbone, TimmClassifier):
        if not hasattr(kind.__init__, '__wrapped__'):
            kind.__init__ = _reading_by_ours(kind.__init__)


def _reading_by_ours(stock):
    @functools.wraps(stock)
    def init(self, *args, **kwargs) -> None:
        # Imported when such a model is built, not by `import mmcskd`.
        try:
            from timm.models import _helpers

            vars(_helpers)['torch'] = _Torch()
        except ImportError:  # the stock constructor raises an error
            pass
        stock(self, *args, **kwargs)

    return init


class _Torch:
    """The ``torch`` of timm's helpers, with another ``load``."""

    def load(self, file: Any, map_location: Any = None, **_: Any) -> Any:
        try:
            return load_from_local(str(file), map_location)
        except pickle.UnpicklingError as error:
            # timm catches this type to give its own advice.
            raise ValueError(str(error)) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)
