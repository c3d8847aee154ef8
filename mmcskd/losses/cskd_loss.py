import numbers
from typing import Callable, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor

from ..bank.banked_teacher import BankedResponse
from ..checks.suggest import nearest
from ..checks.typed import typed
from ..method import agreement, fuse
from .response_loss import ResponseLoss, what_is

GRIDS = ('coarser', 'teacher', 'student')


@MODELS.register_module()
class CSKDLoss(ResponseLoss):
    r"""Distil the teacher's responses into the student's, location by location.

    The target at each location is the fused response
    :math:`t = \lambda d + (1 - \lambda) g` of the teacher's spatial response d and its global
    response g; :class:`~mmcskd.CKFHook` moves the fusion weight :math:`\lambda` from 1 to 0.

    - ``hard``: cross entropy with the class :math:`\arg\max_C t`, mean over N·H·W.
    - ``soft``: KL divergence over the classes at temperature T, summed over all locations,
      × T², ÷ N.

    Source: Cumulative Spatial Knowledge Distillation for Vision Transformers (ICCV 2023,
    arXiv 2307.08500), sections 3.2 and 3.3.

    After each batch ``agreement`` holds the share of locations at which the student's class is the
    fused response's, a scalar tensor.

    Args:
        mode (str): ``'hard'`` or ``'soft'``. Defaults to ``'hard'``.
        temperature (float): T of the soft form, > 0. Defaults to 1.
        loss_weight (float): β, the weight of this loss in the total. Defaults to 1.
        fusion_weight (float, optional): A fixed λ in [0, 1] for use without a hook. Defaults to
            None: the hook must set it before each iteration.
        grid (str): On which of the two grids they are compared; the other's responses are pooled,
            adaptively where the sides do not divide. ``'coarser'``: the smaller height and the
            smaller width of the two; ``'teacher'`` and ``'student'``: that one's, be it the finer,
            whose responses then meet repeated ones. Defaults to ``'coarser'``; with DeiT and a CNN
            of stride 32 that is the teacher's, as in the paper.

    Raises:
        ValueError: For an unknown mode or grid, a temperature that is not positive, or a weight out of
            range.

    Examples:
        >>> loss = CSKDLoss(fusion_weight=0.5)
        >>> student, spatial = torch.randn(2, 10, 7, 7), torch.randn(2, 10, 7, 7)
        >>> loss(student, spatial, spatial.mean((2, 3))).shape
        torch.Size([])
    """

    @typed
    def __init__(
        self,
        mode: str = 'hard',
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        fusion_weight: Optional[float] = None,
        grid: str = 'coarser',
    ) -> None:
        super().__init__(mode, temperature, loss_weight)
        if grid not in GRIDS:
            raise ValueError(
                f'CSKDLoss.grid: "{grid}" is none of them. ' + nearest(str(grid), GRIDS)
            )
        self.grid = grid
        self.set_fusion_weight(fusion_weight)
        self.agreement: Optional[Tensor] = None

    def set_fusion_weight(self, fusion_weight: Optional[float]) -> None:
        """Set λ for the iterations to come.

        Args:
            fusion_weight (float, optional): λ in [0, 1], or None for "not set yet".

        Raises:
            ValueError: If it is out of range.
        """
        number = isinstance(fusion_weight, numbers.Real) and not isinstance(fusion_weight, bool)
        if fusion_weight is not None and not (number and 0 <= fusion_weight <= 1):
            raise ValueError(
                f'The fusion weight is {fusion_weight!r}, expected a number in [0, 1]: change '
                'CSKDLoss.fusion_weight or CKFHook.schedule.'
            )
        self.fusion_weight = fusion_weight

    def forward(
        self,
        student_response: Union[Tensor, Callable],
        spatial_response: Tensor,
        global_response: Tensor,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            student_response (Tensor | Callable): z_s (N, C, H, W), or a function that gives it
                for a grid (H, W), as :class:`~mmcskd.PatchTokenConnector` returns.
            spatial_response (Tensor): d (N, C, H, W), the teacher's response at each location.
            global_response (Tensor): g (N, C), the teacher's logits.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            TypeError: If one of them is no tensor of that form.
            ValueError: If no fusion weight was set, shapes do not match or the teacher's grid is 1×1.
        """
        self._check_steered()
        if isinstance(spatial_response, BankedResponse):
            return self._from_bank(student_response, spatial_response)
        for name, given, sides in (
            ('spatial', spatial_response, 4),
            ('global', global_response, 2),
        ):
            if not isinstance(given, Tensor) or given.dim() != sides:
                raise TypeError(
                    f'CSKDLoss.{name}_response is {what_is(given)}, expected a tensor with {sides} '
                    'dimensions: check data_idx in distiller.loss_forward_mappings.'
                )
        theirs = tuple(spatial_response.shape[-2:])
        check_grid(theirs)
        if callable(student_response):
            grid = self.common_grid(student_response, theirs)
            if grid != theirs:
                spatial_response = F.adaptive_avg_pool2d(spatial_response, grid)
            student_response = student_response(grid)
        self.check_classes(student_response, spatial_response)
        if (
            student_response.shape != spatial_response.shape
            or spatial_response.shape[:2] != global_response.shape
        ):
            raise ValueError(
                f'CSKDLoss: student response {tuple(student_response.shape)}, spatial response '
                f'{tuple(spatial_response.shape)} and global response '
                f'{tuple(global_response.shape)} are not (N, C, H, W), (N, C, H, W) and (N, C): '
                'check distiller.loss_forward_mappings and PatchTokenConnector.grid.'
            )
        if self.mode == 'hard':
            with torch.no_grad():
                classes = self._fused_classes(spatial_response, global_response)
            self._agree(student_response, classes)
            return self.hard(student_response, classes)
        target = self._fuse(spatial_response, global_response)
        self._agree(student_response, target.argmax(dim=1))
        return self.soft(student_response, target, target.shape[0])

    def _check_steered(self) -> None:
        if self.fusion_weight is None:
            raise ValueError(
                'CSKDLoss has no fusion weight: add dict(type="mmrazor.CKFHook") to '
                'custom_hooks, or fix one with CSKDLoss.fusion_weight.'
            )

    def _from_bank(self, student_response: Callable, banked: BankedResponse) -> Tensor:
        """The same, with what a bank keeps of d and g."""
        if not callable(student_response):
            raise ValueError(
                'CSKDLoss: the grid is that of the bank: leave PatchTokenConnector.grid out, or '
                'take model.bank out.'
            )
        grid = self.common_grid(student_response, banked.teacher_grid)
        if grid != banked.grid:
            raise ValueError(
                f'CSKDLoss: student and teacher meet on a grid of {_sides(grid)} by '
                f'CSKDLoss.grid="{self.grid}", but the bank holds responses on {_sides(banked.grid)}: '
                "make a bank with this student's config, or set CSKDLoss.grid so that they meet there."
            )
        response = student_response(grid)
        if response.shape[1] != banked.num_classes:
            raise ValueError(
                f'CSKDLoss: the student has {response.shape[1]} classes and the bank '
                f'{banked.num_classes}: set model.architecture.head.num_classes.'
            )
        classes = banked.fused_classes(self.fusion_weight)
        self._agree(response, classes)
        if self.mode == 'hard':
            return self.hard(response, classes)
        return self.soft(response, banked.fused_target(self.fusion_weight), len(response))

    def common_grid(self, student_response: Callable, theirs: Tuple[int, int]) -> Tuple[int, int]:
        """Where the two are compared.

        Args:
            student_response (Callable): As of :meth:`forward`.
            theirs (tuple[int, int]): The teacher's grid.

        Returns:
            tuple[int, int]: (H, W).
        """
        own = getattr(student_response, 'grid', theirs)
        if self.grid == 'coarser':
            return min(own[0], theirs[0]), min(own[1], theirs[1])
        return theirs if self.grid == 'teacher' else tuple(own)

    def _fuse(self, spatial_response: Tensor, global_response: Tensor) -> Tensor:
        """t = λ·d + (1 − λ)·g, (N, C, H, W)."""
        return fuse(spatial_response, global_response, self.fusion_weight)

    def _fused_classes(self, spatial_response: Tensor, global_response: Tensor) -> Tensor:
        """argmax of t over the classes, (N, H, W)."""
        return self._fuse(spatial_response, global_response).argmax(dim=1)

    def _agree(self, student_response: Tensor, classes: Tensor) -> None:
        self.agreement = agreement(student_response, classes)


def check_grid(grid: Tuple[int, int]) -> None:
    """Refuse a teacher without local responses.

    Args:
        grid (tuple[int, int]): The teacher's.

    Raises:
        ValueError: If it is 1×1.
    """
    if tuple(grid) == (1, 1):
        raise ValueError(
            "CSKDLoss: the teacher's grid is 1×1, its only local response is the global one. "
            'Give the teacher larger images with model.teacher_view.size, or name an earlier '
            'feature map with distiller.teacher_recorders.<name>.source and .feature.'
        )


def _sides(grid: Tuple[int, int]) -> str:
    return f'{grid[0]}×{grid[1]}'
