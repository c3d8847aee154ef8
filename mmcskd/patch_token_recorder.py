from typing import Any, Callable, NamedTuple, Optional, Tuple

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from .suggest import nearest


class PatchTokens(NamedTuple):
    """What a student's forward pass leaves for the connectors."""

    tokens: Tensor
    """(N, L, D): extra tokens first, then h·w patch tokens row by row, after the final norm."""
    num_extra_tokens: int
    """How many of them are no patches: 2 with a distillation token, 1 with a class token."""
    grid: Tuple[int, int]
    """(h, w), the grid of the patch tokens."""
    distillation_head: Callable[[Tensor], Tensor]
    """The student's own distillation head: (…, D) → (…, C)."""


@TASK_UTILS.register_module()
class PatchTokenRecorder(BaseRecorder):
    """Record the student's tokens with all that a connector needs to respond with them.

    The grid is read from each forward pass, so inputs of any size and aspect are right. A record is
    a :class:`PatchTokens`.

    Args:
        source (str): Name of the module that outputs all the tokens, as in ``named_modules()``.
            Defaults to ``'backbone.ln1'``, the final norm of MMPretrain's ViTs.

    Raises:
        ValueError: From :meth:`prepare_from_model` if the student has no patch tokens, no
            distillation head or no such module; from the forward pass if tokens and grid disagree.

    Examples:
        >>> student_recorders = dict(tokens=dict(type='PatchToken'))
    """

    def __init__(self, source: str = 'backbone.ln1') -> None:
        super().__init__(source)
        self._recording = False
        self._grid: Optional[Tuple[int, int]] = None

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the tokens and the patch embedding, which knows the grid.

        Args:
            model (nn.Module): The student, an MMPretrain classifier.
        """
        backbone = getattr(model, 'backbone', None)
        if not hasattr(backbone, 'num_extra_tokens') or not hasattr(backbone, 'patch_embed'):
            raise ValueError(
                f'The student ({type(backbone).__name__}) has no patch tokens to distil into: '
                'name a vision transformer, such as "DistilledVisionTransformer" or '
                '"VisionTransformer", in model.architecture.backbone.type.'
            )
        head = getattr(model, 'head', None)
        if not hasattr(head, 'distillation_logits'):
            raise ValueError(
                f'The student head {type(head).__name__} has no distillation head that could be '
                'trained: set model.architecture.head.type to "CSKDDeiTHead" or, without a '
                'distillation token, to "CSKDViTHead".'
            )
        if head.num_extra_tokens != backbone.num_extra_tokens:
            raise ValueError(
                f'{type(backbone).__name__} puts {backbone.num_extra_tokens} tokens before the '
                f'patches but {type(head).__name__} expects {head.num_extra_tokens}: pair '
                '"DistilledVisionTransformer" with "CSKDDeiTHead" and "VisionTransformer" with '
                '"CSKDViTHead" in model.architecture.'
            )
        modules = dict(model.named_modules())
        if self.source not in modules:
            raise ValueError(
                f'PatchToken.source: "{self.source}" is not a module of the student. '
                + nearest(self.source, modules)
            )
        self._backbone, self._head = backbone, head
        backbone.patch_embed.register_forward_hook(self._note_grid)
        modules[self.source].register_forward_hook(self._record)

    def _note_grid(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._recording:
            self._grid = tuple(int(side) for side in outputs[1])

    def _record(self, module: nn.Module, inputs: Tuple, outputs: Tensor) -> None:
        if not self._recording:
            return
        extra = self._backbone.num_extra_tokens
        height, width = self._grid or (0, 0)
        if outputs.dim() != 3 or not height or outputs.shape[1] != extra + height * width:
            expected = f'{extra} + {height}·{width}' if height else f'{extra} + h·w'
            raise ValueError(
                f'PatchToken.source: "{self.source}" gave {tuple(outputs.shape)}, expected '
                f'(N, {expected}, D): name the module behind the patch embedding that outputs '
                'all tokens.'
            )
        self.data_buffer.append(
            PatchTokens(outputs, extra, self._grid, self._head.distillation_logits)
        )

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._grid = None
        self._recording = True

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording."""
        super().__exit__(exc_type, exc_value, traceback)
        self._recording = False
