from mmrazor.registry import MODELS
from torch import Tensor

from ..bank.banked_teacher import BankedResponse
from ..checks.typed import typed
from .response_loss import ResponseLoss


@MODELS.register_module()
class DeiTLoss(ResponseLoss):
    r"""Distil the teacher's logits into the distillation token.

    - ``hard``: cross entropy of z_dist with the teacher's class :math:`\arg\max g`.
    - ``soft``: KL divergence at temperature T, summed, × T², ÷ N·C.

    Source: Training data-efficient image transformers & distillation through attention
    (arXiv 2012.12877), section 4; the normalisation of its reference implementation.

    Args:
        mode (str): ``'hard'`` or ``'soft'``. Defaults to ``'hard'``.
        temperature (float): T of the soft form, > 0. Defaults to 1.
        loss_weight (float): α, the weight of this loss in the total; the base loss then weighs
            1 − α. Defaults to 0.5.

    Raises:
        ValueError: For an unknown mode, a temperature that is not positive, or a negative weight.
    """

    @typed
    def __init__(
        self, mode: str = 'hard', temperature: float = 1.0, loss_weight: float = 0.5
    ) -> None:
        super().__init__(mode, temperature, loss_weight)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            student_logits (Tensor): z_dist (N, C), from :class:`~mmcskd.DistTokenConnector`.
            teacher_logits (Tensor): g (N, C).

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            TypeError: If one of them is no tensor.
            ValueError: If shapes or the numbers of classes differ.
        """
        if isinstance(teacher_logits, BankedResponse):
            if self.mode == 'hard':
                return self.hard(student_logits, teacher_logits.global_classes())
            return self.soft(student_logits, teacher_logits.global_target(), student_logits.numel())
        self.check_classes(student_logits, teacher_logits)
        if student_logits.dim() != 2 or student_logits.shape != teacher_logits.shape:
            raise ValueError(
                f'DeiTLoss: student logits {tuple(student_logits.shape)} and teacher logits '
                f'{tuple(teacher_logits.shape)} are not both (N, C): check data_idx in '
                'distiller.loss_forward_mappings.'
            )
        if self.mode == 'hard':
            return self.hard(student_logits, teacher_logits.argmax(dim=1))
        return self.soft(student_logits, teacher_logits, student_logits.numel())
