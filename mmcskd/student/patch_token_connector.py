from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor

from ..checks.typed import typed
from .patch_pooling import pool_patches
from .patch_token_recorder import PatchTokens


@dataclass(frozen=True, eq=False)
class StudentResponse:
    """The student's responses z_s as a function of the grid, for whoever knows the teacher's."""

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
        patches, extra = self.record.split()[1], self.record.num_extra_tokens
        pooled = pool_patches(patches, self.grid, tuple(grid), extra)
        return self.record.distillation_head(pooled.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class PatchTokenConnector(BaseConnector):
    """Turn the student's patch tokens into its responses on the teacher's grid.

    The extra tokens are dropped by the backbone's own count, the patches put back on their h × w
    grid, pooled to H × W and only then given to the student's own distillation head: pooling and a
    linear head commute, so this equals pooling the logits of all h·w patches at a fraction of the
    work. Grids that do not divide are pooled adaptively. The connector has no weights of its own.

    Source: CSKD, section 3.2.

    Args:
        grid (tuple[int, int], optional): A fixed H × W. Defaults to None: the connector returns
            the response as a function of the grid, which :class:`~mmcskd.CSKDLoss` evaluates on
            the grid on which it compares. Set it to feed a loss that takes tensors.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If ``grid`` is not two positive numbers.
        TypeError: If it is given anything but the record of a :class:`~mmcskd.PatchTokenRecorder`.
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
