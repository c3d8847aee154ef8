from typing import Any, Optional, Tuple

import torch._dynamo
from torch import nn

from .local_features import is_map, last_of


class TailCheck:
    """A pass of the teacher without local features, watched from its pooling to its logits.

    Watched are all modules that run, so it is for one pass; :meth:`close` ends it.

    Attributes:
        logits (Any): What the module at the end of the tail returned.
        map_behind (tuple, optional): Shape of a feature map that a module behind the pooling was
            given, which so is not the last one. None if there is none.
    """

    def __init__(self) -> None:
        self.logits: Any = None
        self.map_behind: Optional[Tuple[int, ...]] = None
        self._in_tail = False
        self._hook = nn.modules.module.register_module_forward_pre_hook(self._watch)

    def enter(self) -> None:
        """The pooling has run."""
        self._in_tail = True

    def leave(self, logits: Any) -> None:
        """The tail has run."""
        self._in_tail, self.logits = False, logits

    def close(self) -> None:
        """Stop to watch."""
        self._hook.remove()

    @torch._dynamo.disable
    def _watch(self, module: nn.Module, inputs: Tuple) -> None:
        given = last_of(inputs)
        if self._in_tail and is_map(given) and given.shape[-2:].numel() > 1:
            self.map_behind = tuple(given.shape)
