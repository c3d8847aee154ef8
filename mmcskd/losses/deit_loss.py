from typing import Union

from mmrazor.registry import MODELS
from torch import Tensor

from ..checks.typed import typed
from ..method import hard_loss, soft_deit_loss, soft_loss
from ..response import TeacherResponse, as_response, check_pair
from .response_loss import ResponseLoss

REDUCED = dict(mean=soft_deit_loss, batchmean=soft_loss)


@MODELS.register_module()
class DeiTLoss(ResponseLoss):
    r"""Distil the teacher's global response into the distillation token.

    - ``hard``: cross entropy of z_dist with the teacher's class :math:`\arg\max g`.
    - ``soft``: KL divergence at temperature T, summed, × T² ÷ N·C, or ÷ N.

    Source: Training data-efficient image transformers & distillation through attention
    (arXiv 2012.12877), section 4; equation (6) of :mod:`mmcskd.method`.

    Args:
        mode (str): ``'hard'`` or ``'soft'``. Defaults to ``'hard'``.
        temperature (float): T of the soft form, > 0. Defaults to 1.
        loss_weight (float): α, the weight of this loss in the total; the base loss then weighs
            1 − α. Defaults to 0.5.
        reduction (str): Of the soft form, as in :func:`torch.nn.functional.kl_div`: ``'mean'``,
            ÷ N·C, as DeiT has it, or ``'batchmean'``, ÷ N, the divergence of an image. Defaults
            to ``'mean'``.

    Raises:
        ValueError: For an unknown mode or reduction, a reduction of the hard form, a temperature
            that is not positive, or a negative weight.
    """

    @typed
    def __init__(
        self,
        mode: str = 'hard',
        temperature: float = 1.0,
        loss_weight: float = 0.5,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(mode, temperature, loss_weight)
        if reduction not in ('mean', 'batchmean') or (mode, reduction) == ('hard', 'batchmean'):
            raise ValueError(
                f'DeiTLoss.reduction is {reduction!r}, expected "mean", or "batchmean" of '
                'mode="soft".'
            )
        self.reduction = reduction

    def forward(
        self, student_logits: Tensor, teacher_logits: Union[Tensor, TeacherResponse]
    ) -> Tensor:
        """The loss of one batch.

        Args:
            student_logits (Tensor): z_dist (N, C), from :class:`~mmcskd.DistTokenConnector`.
            teacher_logits (Tensor | TeacherResponse): g (N, C), or the teacher's whole
                response.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            TypeError: If one of them has another type.
            ValueError: If shapes or the numbers of classes differ.
        """
        teacher = as_response('DeiTLoss', None, teacher_logits)
        check_pair('DeiTLoss', student_logits, teacher, grid=())
        if self.mode == 'hard':
            loss = hard_loss(student_logits, teacher.global_classes())
        else:
            target = teacher.global_target(self.temperature)
            loss = REDUCED[self.reduction](student_logits, target, self.temperature)
        return self.loss_weight * loss
