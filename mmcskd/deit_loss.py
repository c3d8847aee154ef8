import torch.nn.functional as F
from mmrazor.registry import MODELS
from torch import Tensor, nn

from .loss_arguments import check_classes, check_loss_arguments


@MODELS.register_module()
class DeiTLoss(nn.Module):
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

    def __init__(
        self, mode: str = 'hard', temperature: float = 1.0, loss_weight: float = 0.5
    ) -> None:
        super().__init__()
        check_loss_arguments(type(self).__name__, mode, temperature, loss_weight)
        self.mode = mode
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            student_logits (Tensor): z_dist (N, C), from :class:`~mmcskd.DistTokenConnector`.
            teacher_logits (Tensor): g (N, C).

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            ValueError: If the numbers of classes differ.
        """
        check_classes(type(self).__name__, student_logits, teacher_logits)
        if self.mode == 'hard':
            loss = F.cross_entropy(student_logits, teacher_logits.argmax(dim=1))
        else:
            scale = self.temperature
            loss = F.kl_div(
                F.log_softmax(student_logits / scale, dim=1),
                F.log_softmax(teacher_logits / scale, dim=1),
                reduction='sum',
                log_target=True,
            ) * (scale**2 / student_logits.numel())
        return self.loss_weight * loss
