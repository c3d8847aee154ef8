"""From the student's tokens to its responses: the recorder and the connectors."""

from typing import Any, Optional, Sequence, Union

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import MODELS, TASK_UTILS
from torch import Tensor

from ..checks.typed import typed
from .find_tokens import find_layer
from .token_source import PatchTokens, TokenSource

KEY = 'distiller.student_recorders.<name>.depth'


@TASK_UTILS.register_module()
class PatchTokenRecorder(BaseRecorder):
    """Record the tokens of a :class:`~mmcskd.CSKDClassifier`, the student.

    A record is its :class:`~mmcskd.PatchTokens`: tokens, their grid and the distillation head. The
    grid is read from each forward pass, for inputs of any size and aspect ratio.

    Args:
        depth (float, optional): The share of the student's layers behind which its tokens are
            recorded, 0 to 1, if all of its layers are alike, as a ViT's are. Defaults to None: the
            tokens that it classifies, behind its final norm.

    Raises:
        ValueError: If ``depth`` is out of range; from :meth:`prepare_from_model` if the student is
            no ``CSKDClassifier``, or its layers differ; from the forward pass if tokens and grid
            disagree.

    Examples:
        >>> student_recorders = dict(tokens=dict(type='PatchToken'))
        >>> dict(type='PatchToken', depth=2 / 3)  # behind the eighth of twelve layers
    """

    @typed
    def __init__(self, depth: Optional[float] = None) -> None:
        super().__init__('')
        if depth is not None and not 0 < depth <= 1:
            raise ValueError(f'{KEY} is {depth}, expected a share above 0, up to 1.')
        self._depth = depth

    def prepare_from_model(self, model: Any = None) -> None:
        """Take the student's own source of tokens, or read those of a layer.

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
        self._tokens = model.token_source
        if self._depth is not None:
            self._tokens = TokenSource(model, find_layer(model, self._depth, KEY), KEY)

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._tokens.start()

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording."""
        super().__exit__(exc_type, exc_value, traceback)
        tokens = self._tokens.stop()
        self._data_buffer = [] if tokens is None else [tokens]


@MODELS.register_module()
class PatchTokenConnector(BaseConnector):
    """Turn the student's patch tokens into its responses on the teacher's grid.

    The patch tokens, without the extra tokens, are put back on their h × w grid, pooled to H × W
    and then given to the student's distillation head, by :func:`mmcskd.method.respond`. The
    connector has no weights. Source: CSKD, section 3.2.

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
        if grid is not None and (len(grid) != 2 or not all(type(n) is int and n > 0 for n in grid)):
            raise ValueError(f'PatchTokenConnector.grid is {grid}, expected (H, W).')
        self.grid = None if grid is None else (grid[0], grid[1])

    def forward_train(self, feature: PatchTokens) -> Union[Tensor, PatchTokens]:
        """Student responses z_s.

        Args:
            feature (PatchTokens): The record.

        Returns:
            Tensor | PatchTokens: z_s (N, C, H, W), or the function (H, W) → z_s if no grid is
            fixed.
        """
        if not isinstance(feature, PatchTokens):
            raise TypeError(
                f'PatchTokenConnector takes the record of a "PatchToken" recorder, got '
                f'{type(feature).__name__}: set distiller.student_recorders.<name>.type.'
            )
        return feature if self.grid is None else feature(self.grid)


@MODELS.register_module()
class DistTokenConnector(BaseConnector):
    """Turn the student's distillation token into its logits z_dist, by its distillation head.

    The connector has no weights.

    Args:
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If the student has no distillation token.
    """

    def forward_train(self, feature: PatchTokens) -> Tensor:
        """Logits of the distillation token.

        Args:
            feature (PatchTokens): The record.

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
