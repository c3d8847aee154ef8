from typing import Callable, NamedTuple, Optional, Tuple

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from ..checks.typed import typed
from .token_source import TokenSource, stated_extra_tokens
from .token_split import TokenSplit


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
    parts: Optional[Tuple[Tuple[Tensor, ...], Tensor]] = None
    """Extra tokens (N, D) and patch tokens (N, h·w, D), where the student parted them itself."""

    def split(self) -> Tuple[Tuple[Tensor, ...], Tensor]:
        """E extra tokens (N, D) and patch tokens (N, h·w, D)."""
        return self.parts or TokenSplit(self.num_extra_tokens)(self.tokens)


@TASK_UTILS.register_module()
class PatchTokenRecorder(BaseRecorder):
    """Record the student's tokens with all that a connector needs to respond with them.

    The student is a :class:`~mmcskd.CSKDClassifier` of any architecture, or has a
    :class:`~mmcskd.CSKDDeiTHead`. The grid is read from each forward pass, so inputs of any size
    and aspect are right. A record is a :class:`PatchTokens`.

    Args:
        source (str, optional): Name of the module that outputs the tokens, as in
            ``named_modules()``. Defaults to None: the ``source`` of a ``CSKDClassifier``, or else
            found by itself, see :class:`~mmcskd.student.token_source.TokenSource`.

    Raises:
        ValueError: From :meth:`prepare_from_model` if the student has no patch tokens, no
            distillation head or no such module, or if the two sources differ; from the forward
            pass if tokens and grid disagree.

    Examples:
        >>> student_recorders = dict(tokens=dict(type='PatchToken'))
    """

    @typed
    def __init__(self, source: Optional[str] = None) -> None:
        super().__init__(source)
        self._tokens: Optional[TokenSource] = None

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the tokens and what knows their grid.

        Args:
            model (nn.Module): The student, an MMPretrain classifier.
        """
        head = getattr(model, 'head', None)
        source, key, width, extra = self.source, 'PatchToken.source', None, None
        if hasattr(model, 'distillation_logits'):
            if source not in (None, model.source):
                raise ValueError(
                    f'PatchToken.source is "{source}", but model.architecture.source says '
                    f'"{model.source}": set the latter alone.'
                )
            source, key, width = model.source, 'model.architecture.source', model.width
            self._head = model.distillation_logits
        else:
            _check_pair(getattr(model, 'backbone', None), head)
            extra, self._head = head.num_extra_tokens, head.distillation_logits
            if isinstance(getattr(head, 'split', None), TokenSplit):
                head.split.register_forward_hook(self._record_parts)
        self._tokens = TokenSource(model, source, key, width, extra)

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._tokens.start(self._record)

    def _record(self, tokens) -> None:
        # A module that ran twice in a pass, as Conformer's norm, has its last say.
        self._data_buffer = [PatchTokens(*tokens, self._head)]

    def _record_parts(self, module: nn.Module, inputs: Tuple, outputs: Tuple) -> None:
        if self._data_buffer and self._data_buffer[-1].tokens is inputs[0]:
            self._data_buffer[-1] = self._data_buffer[-1]._replace(parts=outputs)

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording."""
        super().__exit__(exc_type, exc_value, traceback)
        self._tokens.stop()


def _check_pair(backbone: Optional[nn.Module], head: Optional[nn.Module]) -> None:
    """Whether a backbone has patch tokens and its head is one for them."""
    if not hasattr(head, 'distillation_logits'):
        raise ValueError(
            f'The student ({type(backbone).__name__} with {type(head).__name__}) has no '
            'distillation head that could be trained: set model.architecture.type to '
            '"CSKDClassifier", which adds one to any stock model, or '
            'model.architecture.head.type to "CSKDDeiTHead" or, without a distillation token, to '
            '"CSKDViTHead".'
        )
    if not hasattr(backbone, 'num_extra_tokens') or not hasattr(backbone, 'patch_embed'):
        raise ValueError(
            f'The student ({type(backbone).__name__}) has no patch tokens for '
            f'{type(head).__name__}: name a vision transformer, such as '
            '"DistilledVisionTransformer" or "VisionTransformer", in '
            'model.architecture.backbone.type, or set model.architecture.type to '
            '"CSKDClassifier", which takes any stock head.'
        )
    if head.num_extra_tokens != stated_extra_tokens(backbone):
        raise ValueError(
            f'{type(backbone).__name__} puts {backbone.num_extra_tokens} tokens before the '
            f'patches but {type(head).__name__} expects {head.num_extra_tokens}: pair '
            '"DistilledVisionTransformer" with "CSKDDeiTHead" and "VisionTransformer" with '
            '"CSKDViTHead" in model.architecture.'
        )
