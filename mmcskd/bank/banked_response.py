"""The response of a bank, in place of a running teacher's."""

from typing import Tuple

import torch
from torch import Tensor

from ..response import TeacherResponse
from .banked_batch import BankedBatch
from .partial_target import upload


class BankedResponse(TeacherResponse):
    """The part of the responses to one batch that a bank keeps.

    Args:
        batch (BankedBatch): The batch in the bank.
        banked_grid (tuple[int, int]): (H, W) of the responses in the bank.
        grid (tuple[int, int]): (H, W) of the teacher's own map.
        num_classes (int): C.
        device (torch.device): Device of classes and targets.
    """

    def __init__(
        self,
        batch: BankedBatch,
        banked_grid: Tuple[int, int],
        grid: Tuple[int, int],
        num_classes: int,
        device: torch.device,
    ) -> None:
        self._batch = batch
        self._banked_grid = banked_grid
        self.grid = grid
        self.num_images = len(batch.best)
        self.num_classes = num_classes
        self.device = device

    def on(self, grid: Tuple[int, int]) -> 'BankedResponse':
        """This response, if the bank has that grid.

        Raises:
            ValueError: If it has another.
        """
        if grid != self._banked_grid:
            raise ValueError(
                f'Student and teacher meet on a grid of {_sides(grid)} by CSKDLoss.grid, but the '
                f'bank holds responses on {_sides(self._banked_grid)}: make a bank with this '
                "student's config, or set CSKDLoss.grid so that they meet there."
            )
        return self

    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax_C of λ·d + (1 − λ)·g, exactly."""
        return upload(self._batch.fused_classes(fusion_weight), self.device)

    def fused_target(self, fusion_weight: float, temperature: float) -> Tensor:
        """λ·d + (1 − λ)·g, approximately; of a bank with ``top_k``."""
        target = self._batch.fused_target(fusion_weight, self.num_classes).to(self.device)
        rows = target.spread(self.num_classes, temperature)
        return rows.unflatten(0, (self.num_images, *self._banked_grid)).movedim(-1, 1)

    def global_classes(self) -> Tensor:
        """argmax_C of g, exactly."""
        return upload(torch.from_numpy(self._batch.best.astype('int64')), self.device)

    def global_target(self, temperature: float) -> Tensor:
        """g, approximately; of a bank with ``top_k``."""
        target = self._batch.global_target(self.num_classes).to(self.device)
        return target.spread(self.num_classes, temperature)


def _sides(grid: Tuple[int, int]) -> str:
    return f'{grid[0]}×{grid[1]}'
