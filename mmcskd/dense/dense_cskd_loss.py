from typing import Any, List, Optional, Tuple

import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor

from ..checks.suggest import nearest
from ..checks.typed import typed
from ..losses.cskd_loss import GRIDS, CSKDLoss
from ..method import agreement, fuse, hard_loss, soft_loss
from .dense_response_recorder import DenseResponses, describe
from .level_pooling import kept_locations, logits, mean_response, pool_level, probabilities

DENSE_GRIDS = (*GRIDS, 'patches')
GLOBAL_RESPONSES = ('mean', 'image')
POOLINGS = ('logits', 'probabilities')


@MODELS.register_module()
class DenseCSKDLoss(CSKDLoss):
    r"""CSKD between segmentors or detectors, at each location of each common level.

    The spatial response d is the teacher's logits at a location, the global response g those of
    the whole level, and the target their fusion :math:`t = \lambda d + (1 - \lambda) g` with the
    λ of :class:`~mmcskd.CKFHook`, as in :class:`~mmcskd.CSKDLoss`. For one level of softmax logits
    without ignored pixels ``hard`` equals that loss. Differences:

    - Both forms are means over the locations that are not ignored, whose number varies in dense
      tasks: ``soft`` is H·W times smaller than that of ``CSKDLoss``.
    - Heads with a sigmoid for each class have the binary form. ``soft``: the KL divergence between
      Bernoulli distributions at temperature T, summed over classes, × T²; ``hard``: the binary
      cross entropy with the teacher's decision t > 0. Almost all locations of a detector are
      background, so the sum is divided, as detectors divide their losses by the number of
      positives, by the teacher's own: the sum over locations of its largest class probability
      (``hard``: the number of locations with a decision for any class), at least 1.
    - Ignored pixels are left out of the loss, of the global response and of pooling.

    ``agreement`` is the share of locations at which both have the same class; with sigmoids, the
    share of the teacher's decisions t > 0 that the student makes too.

    Source: CSKD, sections 3.2 and 3.3; dense tasks are this package's extension of it.

    Args:
        mode (str): ``'hard'`` or ``'soft'``. Defaults to ``'soft'``.
        temperature (float): T of the soft form, > 0. Defaults to 1.
        loss_weight (float): Defaults to 1.
        fusion_weight (float, optional): As in ``CSKDLoss``. Defaults to None.
        grid (str): The grid of the comparison, onto which others are pooled: ``'coarser'``,
            ``'teacher'`` or ``'student'`` as in ``CSKDLoss``, or ``'patches'``, that of the
            student's patch tokens. Defaults to ``'coarser'``.
        global_response (str): ``'mean'``: the mean of the level's logits. ``'image'``: the class
            response of the image, the logits of the mean probability of each class. Defaults to
            ``'mean'``.
        pooling (str): What pooling averages. ``'logits'``, as in ``CSKDLoss``; or
            ``'probabilities'`` of the classes, whose logits are then compared: each location of a
            cell has the same weight, however large its logits are. Defaults to ``'logits'``.

    Raises:
        ValueError: For arguments out of range; from the forward pass if no fusion weight was set or
            the responses cannot be compared.

    Examples:
        >>> level = torch.randn(2, 1, 10, 8, 8)
        >>> response = DenseResponses((level,), None, sigmoid=False)
        >>> DenseCSKDLoss(fusion_weight=0.5)(response, response).shape
        torch.Size([])
    """

    @typed
    def __init__(
        self,
        mode: str = 'soft',
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        fusion_weight: Optional[float] = None,
        grid: str = 'coarser',
        global_response: str = 'mean',
        pooling: str = 'logits',
    ) -> None:
        super().__init__(mode, temperature, loss_weight, fusion_weight)
        for key, given, known in (
            ('grid', grid, DENSE_GRIDS),
            ('global_response', global_response, GLOBAL_RESPONSES),
            ('pooling', pooling, POOLINGS),
        ):
            if given not in known:
                raise ValueError(
                    f'DenseCSKDLoss.{key}: "{given}" is none of them. ' + nearest(str(given), known)
                )
        self.grid = grid
        self.global_response = global_response
        self.pooling = pooling

    def forward(  # type: ignore[override]  # fed by other recorders
        self,
        student_response: DenseResponses,
        teacher_response: DenseResponses,
        ignored: Optional[Tensor] = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            student_response (DenseResponses): Record of a ``DenseResponse`` recorder.
            teacher_response (DenseResponses): The same of the teacher.
            ignored (Tensor, optional): (N, 1, height, width) of bool, record of an
                ``IgnoredRegion`` recorder. Defaults to None: no pixel is ignored.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.
        """
        fusion_weight = self.current_fusion_weight()
        pairs = self._pairs(student_response, teacher_response)
        patches = self._patches(student_response)
        rows = [
            self._rows(*pair, ignored, patches, student_response.sigmoid, fusion_weight)
            for pair in pairs
        ]
        student, target = (torch.cat(side) for side in zip(*rows))
        if not len(student):  # all locations of the batch are ignored
            self.agreement = student.new_zeros(())
            return self.loss_weight * student.sum()
        if student_response.sigmoid:
            return self.binary(student, target)
        classes = target.argmax(dim=1)
        self.agreement = agreement(student, classes)
        if self.mode == 'hard':
            return self.loss_weight * hard_loss(student, classes)
        return self.loss_weight * soft_loss(student, target, self.temperature)

    def binary(self, student: Tensor, target: Tensor) -> Tensor:
        """The binary form, for each class separately.

        Args:
            student (Tensor): (M, C), logits of M anchors.
            target (Tensor): (M, C), fused logits.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.
        """
        decided = target > 0
        with torch.no_grad():
            self.agreement = (student > 0)[decided].float().mean() if decided.any() else (
                student.new_ones(())
            )  # fmt: skip
        if self.mode == 'hard':
            positives = decided.any(dim=1).sum().clamp(min=1)
            total = F.binary_cross_entropy_with_logits(
                student, decided.to(student.dtype), reduction='sum'
            )
            return self.loss_weight * total / positives
        scale, positives = self.temperature, target.sigmoid().amax(dim=1).sum().clamp(min=1)
        student, target = student / scale, target / scale
        chance = target.sigmoid()
        # KL = cross entropy − entropy, both from logits, so that large logits do not overflow.
        total = F.binary_cross_entropy_with_logits(student, chance, reduction='sum')
        entropy = F.binary_cross_entropy_with_logits(target, chance, reduction='sum')
        return self.loss_weight * scale**2 * (total - entropy) / positives

    def _pairs(
        self, student: DenseResponses, teacher: DenseResponses
    ) -> List[Tuple[Tensor, Tensor]]:
        """(student's, teacher's) responses of each common level."""
        for side, given in (('student', student), ('teacher', teacher)):
            if not isinstance(given, DenseResponses):
                raise ValueError(
                    f'DenseCSKDLoss takes records of "DenseResponse" recorders, got a '
                    f'{type(given).__name__} of the {side}: set distiller.{side}_recorders.<name>.'
                    'type and let no connector or data_idx stand between.'
                )
        if student.sigmoid != teacher.sigmoid:
            kinds = ('a softmax over classes', 'a sigmoid for each class')
            raise ValueError(
                f"DenseCSKDLoss: the student's head has {kinds[student.sigmoid]}, the teacher's "
                f'{kinds[teacher.sigmoid]}: their logits mean different things. Set use_sigmoid of '
                'their classification losses alike.'
            )
        if student.strides is None or teacher.strides is None:
            if len(student.levels) != len(teacher.levels):
                raise ValueError(
                    f'DenseCSKDLoss: the student has {len(student.levels)} levels and the teacher '
                    f'{len(teacher.levels)}, and not both heads know their strides.'
                )
            pairs = list(zip(student.levels, teacher.levels))
        else:
            theirs = dict(zip(teacher.strides, teacher.levels))
            pairs = [
                (level, theirs[stride])
                for stride, level in zip(student.strides, student.levels)
                if stride in theirs
            ]
            if not pairs:
                raise ValueError(
                    'DenseCSKDLoss: no level of the student '
                    f'({", ".join(describe(student))}) has the stride of one of the teacher '
                    f'({", ".join(describe(teacher))}): change model.architecture.neck and the '
                    "strides of its head's prior generator."
                )
        for own, other in pairs:
            self._check_pair(own, other)
        return pairs

    def _check_pair(self, student: Tensor, teacher: Tensor) -> None:
        (n, anchors, classes), (m, their_anchors, their_classes) = (
            student.shape[:3],
            teacher.shape[:3],
        )
        if classes != their_classes:
            raise ValueError(
                f'DenseCSKDLoss: the student has {classes} classes and the teacher '
                f'{their_classes}: set num_classes of their heads to the same number, or choose '
                "the student's classes with distiller.teacher_recorders.<name>.classes."
            )
        if anchors != their_anchors:
            raise ValueError(
                f'DenseCSKDLoss: the student has {anchors} anchors at a location and the teacher '
                f'{their_anchors}: set anchors="max" in both DenseResponse recorders, or give '
                'their heads the same anchors.'
            )
        if n != m:
            raise ValueError(f'DenseCSKDLoss: {n} images of the student, {m} of the teacher.')

    def _rows(
        self,
        student: Tensor,
        teacher: Tensor,
        ignored: Optional[Tensor],
        patches: Optional[Tuple[int, int]],
        sigmoid: bool,
        fusion_weight: float,
    ) -> Tuple[Tensor, Tensor]:
        """Student's and fused responses at the locations that are not ignored, (M, C) each."""
        student, teacher = student.float(), teacher.float()
        kept_teacher = kept_locations(ignored, teacher)
        kept_student = kept_locations(ignored, student)
        global_response = self._global_response(teacher, kept_teacher, sigmoid)
        (h, w), (height, width) = student.shape[-2:], teacher.shape[-2:]
        own, theirs = (h, w), (height, width)
        coarser = min(h, height), min(w, width)
        grid: Any = dict(coarser=coarser, teacher=theirs, student=own, patches=patches)[self.grid]
        teacher, has_teacher = self._pool(teacher, kept_teacher, grid, sigmoid)
        student, has_student = self._pool(student, kept_student, grid, sigmoid)
        target = fuse(teacher, global_response, fusion_weight)
        student, target = (
            level.permute(0, 1, 3, 4, 2).reshape(-1, level.shape[2]) for level in (student, target)
        )
        if ignored is None or has_teacher is None or has_student is None:
            return student, target
        counts = F.adaptive_avg_pool2d((~ignored).float(), grid) >= 0.5
        counts = (counts & has_teacher & has_student).expand(-1, teacher.shape[1], -1, -1)
        return student[counts.flatten()], target[counts.flatten()]

    def _patches(self, student: DenseResponses) -> Optional[Tuple[int, int]]:
        if self.grid == 'patches' and (student.patches is None or student.strides is not None):
            raise ValueError(
                'DenseCSKDLoss.grid="patches" is for segmentors whose backbone has a patch '
                'embedding; this student '
                + ('has levels of its own' if student.strides else 'has none')
                + ': take "coarser".'
            )
        return student.patches

    def _global_response(self, teacher: Tensor, kept: Optional[Tensor], sigmoid: bool) -> Tensor:
        """The global response of a level, (N, A, C)."""
        if self.global_response == 'mean':
            return mean_response(teacher, kept)
        return logits(mean_response(probabilities(teacher, sigmoid), kept), sigmoid)

    def _pool(
        self, level: Tensor, kept: Optional[Tensor], grid: Tuple[int, int], sigmoid: bool
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """A level on another grid, and (N, 1, H', W') of bool: cells with kept locations."""
        if tuple(level.shape[-2:]) == grid:
            return level, None if kept is None else kept > 0
        if self.pooling == 'logits':
            return pool_level(level, kept, grid)
        pooled, holds = pool_level(probabilities(level, sigmoid), kept, grid)
        return logits(pooled, sigmoid), holds
