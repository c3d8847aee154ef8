"""From the student's tokens to its responses: the recorder and the connectors."""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Optional, Sequence, Tuple, Union

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import MODELS, TASK_UTILS
from torch import Tensor, nn

from ..checks.typed import typed
from ..method import respond
from .token_source import TokenSource


@dataclass(frozen=True, eq=False)
class PatchTokens:
    """The record of a student's forward pass, for the connectors."""

    tokens: Tensor
    """(N, L, D): extra tokens first, then h·w patch tokens row by row, after the final norm."""
    num_extra_tokens: int
    """Number of extra tokens: 2 with a distillation token, 1 with a class token alone."""
    grid: Tuple[int, int]
    """(h, w), the grid of the patch tokens."""
    distillation_head: Callable[[Tensor], Tensor]
    """The student's own distillation head: (…, D) → (…, C)."""

    @cached_property
    def parts(self) -> Tuple[Tensor, Tensor]:
        """Extra tokens (N, E, D) and patch tokens (N, h·w, D).

        One split for all users: the gradient of each slice would need a tensor of the size of all
        tokens.
        """
        extra = self.num_extra_tokens
        return tuple(self.tokens.split([extra, self.tokens.shape[1] - extra], dim=1))


@TASK_UTILS.register_module()
class PatchTokenRecorder(BaseRecorder):
    """Record the student's tokens with their grid and the distillation head.

    The student is a :class:`~mmcskd.CSKDClassifier`. The grid is read from each forward pass, for
    inputs of any size and aspect ratio. A record is a :class:`PatchTokens`.

    Args:
        source (str, optional): Name of the module that outputs the tokens, as in
            ``named_modules()``; it must be the student's own. Defaults to None: the same.

    Raises:
        ValueError: From :meth:`prepare_from_model` if the student is no ``CSKDClassifier`` or has
            another ``source``; from the forward pass if tokens and grid disagree.

    Examples:
        >>> student_recorders = dict(tokens=dict(type='PatchToken'))
    """

    @typed
    def __init__(self, source: Optional[str] = None) -> None:
        super().__init__(source)

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the tokens and the modules that know their grid.

        Args:
            model (nn.Module): The student.
        """
        if not hasattr(model, 'distillation_logits'):
            parts = (getattr(model, name, None) for name in ('backbone', 'head'))
            names = ' with '.join(type(part).__name__ for part in parts)
            raise ValueError(
                f'The student ({type(model).__name__} of {names}) has no distillation head that '
                'could be trained: set model.architecture.type to "mmpretrain.CSKDClassifier", '
                'which adds one to any stock model.'
            )
        source = model.token_source.source
        if self.source not in (None, source):
            raise ValueError(
                f'PatchToken.source is "{self.source}", but the student takes its tokens from '
                f'"{source}": set model.architecture.source alone.'
            )
        self._head = model.distillation_logits
        self._tokens = TokenSource(model, model.width, model.source)

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._tokens.start(self._record)

    def _record(self, tokens) -> None:
        # Of a module that runs twice in a pass, as Conformer's norm, the last output.
        self._data_buffer = [PatchTokens(*tokens, self._head)]

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording."""
        super().__exit__(exc_type, exc_value, traceback)
        self._tokens.stop()


@dataclass(frozen=True, eq=False)
class StudentResponse:
    """The student's responses z_s as a function of the grid."""

    record: PatchTokens

    @property
    def grid(self) -> Tuple[int, int]:
        """(h, w), the grid of the patch tokens themselves."""
        return self.record.grid

    def __call__(self, grid: Sequence[int]) -> Tensor:
        """Patch tokens pooled to a grid, then through the distillation head.

        Args:
            grid (tuple[int, int]): H × W.

        Returns:
            Tensor: z_s (N, C, H, W).
        """
        record = self.record
        return respond(record.parts[1], record.grid, record.distillation_head, tuple(grid))


@MODELS.register_module()
class PatchTokenConnector(BaseConnector):
    """Turn the student's patch tokens into its responses on the teacher's grid.

    The patch tokens, without the extra tokens, are put back on their h × w grid, pooled to H × W
    and then given to the student's distillation head. Pooling and a linear head commute, so this
    equals pooling the logits of all h·w patches, with less work and memory. Grids that do not
    divide are pooled adaptively. The connector has no weights.

    Source: CSKD, section 3.2.

    Args:
        grid (tuple[int, int], optional): A fixed H × W. Defaults to None: the connector returns
            the response as a function of the grid, which :class:`~mmcskd.CSKDLoss` evaluates on
            the grid of the comparison. Set it for a loss that takes tensors.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If ``grid`` is not two positive numbers.
        TypeError: If its input is not the record of a :class:`PatchTokenRecorder`.
    """

    @typed
    def __init__(
        self, grid: Optional[Sequence[int]] = None, init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(init_cfg)
        if grid is not None:
            grid = tuple(grid)
            if len(grid) != 2 or not all(isinstance(side, int) and side > 0 for side in grid):
                raise ValueError(f'PatchTokenConnector.grid is {grid}, expected (H, W).')
        self.grid = grid

    def forward_train(self, feature: PatchTokens) -> Union[Tensor, StudentResponse]:
        """Student responses z_s.

        Args:
            feature (PatchTokens): Tokens (N, L, D) with their grid and head.

        Returns:
            Tensor | StudentResponse: z_s (N, C, H, W), or the function (H, W) → z_s if no grid is
            fixed.
        """
        if not isinstance(feature, PatchTokens):
            raise TypeError(
                f'PatchTokenConnector takes the record of a "PatchToken" recorder, got '
                f'{type(feature).__name__}: set distiller.student_recorders.<name>.type.'
            )
        response = StudentResponse(feature)
        return response if self.grid is None else response(self.grid)


@MODELS.register_module()
class DistTokenConnector(BaseConnector):
    """Turn the student's distillation token into its logits z_dist.

    The student's own distillation head is applied; the connector has no weights.

    Args:
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If the student has no distillation token.
    """

    def forward_train(self, feature: PatchTokens) -> Tensor:
        """Logits of the distillation token.

        Args:
            feature (PatchTokens): Tokens (N, L, D) with their grid and head.

        Returns:
            Tensor: z_dist (N, C).
        """
        if feature.num_extra_tokens < 2:
            raise ValueError(
                'The student has no distillation token: leave the DeiT term out of '
                'distiller.distill_losses and distiller.loss_forward_mappings, or set '
                'model.architecture.backbone.type to "DistilledVisionTransformer".'
            )
        return feature.distillation_head(feature.parts[0][:, 1])
