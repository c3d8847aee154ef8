from functools import partial
from typing import Callable, Optional, Sequence, Union

import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor

from .patch_token_recorder import PatchTokens


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
            the grid of the spatial response it is given. Set it to feed a loss that takes tensors.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If ``grid`` is not two positive numbers.
        TypeError: If it is given anything but the record of a :class:`~mmcskd.PatchTokenRecorder`.
    """

    def __init__(
        self, grid: Optional[Sequence[int]] = None, init_cfg: Optional[dict] = None
    ) -> None:
        super().__init__(init_cfg)
        if grid is not None:
            grid = tuple(grid)
            if len(grid) != 2 or not all(isinstance(side, int) and side > 0 for side in grid):
                raise ValueError(f'PatchTokenConnector.grid is {grid}, expected (H, W).')
        self.grid = grid

    def forward_train(self, feature: PatchTokens) -> Union[Tensor, Callable]:
        """Student responses z_s.

        Args:
            feature (PatchTokens): Tokens (N, L, D) with their grid and head.

        Returns:
            Tensor | Callable: z_s (N, C, H, W), or the function (H, W) → z_s if no grid is fixed.
        """
        if not isinstance(feature, PatchTokens):
            raise TypeError(
                f'PatchTokenConnector takes the record of a "PatchToken" recorder, got '
                f'{type(feature).__name__}: set distiller.student_recorders.<name>.type.'
            )
        respond = partial(self.respond, feature)
        return respond if self.grid is None else respond(self.grid)

    @staticmethod
    def respond(tokens: PatchTokens, grid: Sequence[int]) -> Tensor:
        """Student responses on a grid.

        Args:
            tokens (PatchTokens): Tokens (N, L, D) with their grid and head.
            grid (tuple[int, int]): H × W.

        Returns:
            Tensor: z_s (N, C, H, W).
        """
        patches = tokens.tokens[:, tokens.num_extra_tokens :].unflatten(1, tokens.grid)
        pooled = F.adaptive_avg_pool2d(patches.permute(0, 3, 1, 2), tuple(grid))
        return tokens.distillation_head(pooled.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
