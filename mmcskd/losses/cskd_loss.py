import numbers
from typing import Any, Callable, Optional, Tuple, Union

from mmrazor.registry import MODELS
from torch import Tensor

from ..checks.suggest import nearest
from ..checks.typed import typed
from ..method import agreement, hard_loss, soft_loss
from ..response import TeacherResponse, as_response, check_pair
from .response_loss import ResponseLoss

GRIDS = ('coarser', 'teacher', 'student')
Grid = Tuple[int, int]
StudentResponse = Union[Tensor, Callable[[Grid], Tensor]]


@MODELS.register_module()
class CSKDLoss(ResponseLoss):
    r"""Distil the teacher's responses into the student's, location by location.

    The target at each location is the fused response
    :math:`t = \lambda d + (1 - \lambda) g` of the teacher's spatial response d and its global
    response g; :class:`~mmcskd.CKFHook` moves the fusion weight :math:`\lambda` from 1 to 0.

    - ``hard``: cross entropy with the class :math:`\arg\max_C t`, mean over N·H·W.
    - ``soft``: KL divergence over the classes at temperature T, summed over all locations,
      × T² ÷ N; with ``reduction='mean'``, ÷ N·H·W, as the hard form.

    Source: Cumulative Spatial Knowledge Distillation for Vision Transformers (ICCV 2023,
    arXiv 2307.08500), sections 3.2 and 3.3; equations (3) to (5) of :mod:`mmcskd.method`.

    After each batch ``agreement`` holds the share of locations at which the student's class is the
    fused response's, a scalar tensor.

    Args:
        mode (str): ``'hard'`` or ``'soft'``. Defaults to ``'hard'``.
        temperature (float): T of the soft form, > 0. Defaults to 1.
        loss_weight (float): β, the weight of this loss in the total. Defaults to 1.
        fusion_weight (float, optional): A fixed λ in [0, 1] for use without a hook. Defaults to
            None: the hook must set it before each iteration.
        grid (str): The grid of the comparison; responses on another grid are pooled, adaptively
            where the sides do not divide. ``'coarser'``: the smaller height and the smaller width
            of the two; ``'teacher'``, ``'student'``: that one's, even if it is the finer, so that
            the other's responses are repeated. Defaults to ``'coarser'``; with DeiT and a CNN of
            stride 32 that is the teacher's, as in the paper.
        reduction (str): Of the soft form, in the words of :func:`torch.nn.functional.kl_div`:
            ``'batchmean'``, a sum over locations, or ``'mean'`` over them, which weighs the same
            on every grid. Defaults to ``'batchmean'``, as in the paper.

    Raises:
        ValueError: For an unknown mode, grid or reduction, a reduction of the hard form, a
            temperature that is not positive, or a weight out of range.

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
        reduction: str = 'batchmean',
    ) -> None:
        super().__init__(mode, temperature, loss_weight)
        if reduction not in ('batchmean', 'mean') or (mode, reduction) == ('hard', 'mean'):
            raise ValueError(
                f'CSKDLoss.reduction is {reduction!r}, expected "batchmean", or "mean" of '
                'mode="soft"; the hard form is a mean.'
            )
        self.reduction = reduction
        if grid not in GRIDS:
            raise ValueError(f'CSKDLoss.grid: "{grid}" is none of them. {nearest(grid, GRIDS)}')
        self.grid = grid
        self.set_fusion_weight(fusion_weight)
        self.agreement: Optional[Tensor] = None

    def set_fusion_weight(self, fusion_weight: Optional[float]) -> None:
        """Set λ in [0, 1] for the following iterations; a ValueError if it is out of range.

        Args:
            fusion_weight (float, optional): λ, or None for "not set yet".
        """
        given: Any = fusion_weight  # by a schedule of the user's
        number = isinstance(given, numbers.Real) and not isinstance(given, bool)
        if given is not None and not (number and 0 <= given <= 1):
            raise ValueError(
                f'The fusion weight is {fusion_weight!r}, expected a number in [0, 1]: change '
                'CSKDLoss.fusion_weight or CKFHook.schedule.'
            )
        self.fusion_weight = fusion_weight

    def current_fusion_weight(self) -> float:
        """λ of this iteration; a ValueError if it was never set."""
        if self.fusion_weight is None:
            raise ValueError(
                'CSKDLoss has no fusion weight: add dict(type="mmrazor.CKFHook") to '
                'custom_hooks, or fix one with CSKDLoss.fusion_weight.'
            )
        return self.fusion_weight

    def forward(
        self,
        student_response: StudentResponse,
        spatial_response: Union[Tensor, TeacherResponse],
        global_response: Union[Tensor, TeacherResponse],
    ) -> Tensor:
        """The loss of one batch.

        Args:
            student_response (Tensor | Callable): z_s (N, C, H, W), or a function that gives it
                for a grid (H, W), as :class:`~mmcskd.PatchTokenConnector` returns.
            spatial_response (Tensor | TeacherResponse): d (N, C, H, W), or the whole response.
            global_response (Tensor | TeacherResponse): g (N, C), or the whole response.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            TypeError: If one of them has another form.
            ValueError: If no fusion weight was set, shapes do not match or the teacher's grid is
                1×1.
        """
        fusion_weight = self.current_fusion_weight()
        teacher = as_response('CSKDLoss', spatial_response, global_response)
        grid = self.common_grid(student_response, teacher)
        teacher = teacher.on(grid)
        student = student_response(grid) if callable(student_response) else student_response
        check_pair('CSKDLoss', student, teacher, grid)
        classes = teacher.fused_classes(fusion_weight)
        self.agreement = agreement(student, classes)
        if self.mode == 'hard':
            loss = hard_loss(student, classes)
        else:
            target = teacher.fused_target(fusion_weight, self.temperature)
            loss = soft_loss(student, target, self.temperature)
            if self.reduction == 'mean':
                loss = loss / (grid[0] * grid[1])
        return self.loss_weight * loss

    def common_grid(self, student_response: StudentResponse, teacher: TeacherResponse) -> Grid:
        """(H, W) of the comparison; a ValueError if the teacher has no spatial responses.

        Args:
            student_response (Tensor | Callable): As in :meth:`forward`. A tensor is compared on
                the teacher's grid.
            teacher (TeacherResponse): The teacher's response.
        """
        theirs = teacher.grid
        if theirs == (1, 1):
            raise ValueError(
                "CSKDLoss: the teacher's grid is 1×1, its only local response is the global one. "
                'Give the teacher larger images with model.teacher_view.size, or name an earlier '
                'feature map with distiller.teacher_recorders.<name>.source and .feature.'
            )
        own = getattr(student_response, 'grid', theirs)
        if self.grid == 'coarser':
            return min(own[0], theirs[0]), min(own[1], theirs[1])
        return theirs if self.grid == 'teacher' else (own[0], own[1])
