from typing import Any, Optional, Tuple

import torch._dynamo
from torch import Tensor, nn

from .local_features import close, is_map, last_of

KEY = 'distiller.teacher_recorders.<name>'


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

    def compare(self, recorded: Tensor, own: Tensor, source: str, logits: str) -> None:
        """Whether the pass with local features left the logits what they are without.

        Args:
            recorded (Tensor): Logits of that pass (N, C).
            own (Tensor): Those of the pass that was watched.
            source (str): Name of the pooling, for messages.
            logits (str): Name of the module at the end of the tail, likewise.

        Raises:
            ValueError: If they differ, are not finite, or a feature map is used behind the pooling.
        """
        if self.map_behind is not None:
            raise ValueError(
                f'SpatialResponse.source: behind "{source}" the teacher uses a feature map '
                f'still, of shape {self.map_behind}: name its last pooling with {KEY}.source.'
            )
        if not own.isfinite().all():
            raise ValueError(
                f'The teacher\'s own logits, of "{logits}", are not finite: check '
                'model.teacher_ckpt, model.teacher_view and the precision of optim_wrapper.'
            )
        if own.numel() != recorded.numel() or not close(recorded, own.reshape(recorded.shape)):
            raise ValueError(
                f'SpatialResponse: between "{source}" and "{logits}" the teacher\'s '
                'logits depend on the other rows of the batch or on chance, as with BatchNorm or '
                'dropout in training mode: call teacher.eval(), or set '
                f'{KEY}.source and .logits.'
            )

    @torch._dynamo.disable
    def _watch(self, module: nn.Module, inputs: Tuple) -> None:
        given = last_of(inputs)
        if self._in_tail and is_map(given) and given.shape[-2:].numel() > 1:
            self.map_behind = tuple(given.shape)
