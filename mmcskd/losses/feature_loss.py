from typing import Any, Callable, Tuple, Union

from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..checks.typed import typed
from ..method import feature_loss, pool
from .response_loss import check_number

Grid = Tuple[int, int]


@MODELS.register_module()
class FeatureLoss(nn.Module):
    """Distil the teacher's last feature map into a layer of the student, location by location.

    The mean squared error in parts of the teacher's variance: 1 is what a student reaches that
    says the mean of the map everywhere. So the weight means the same for every teacher. Source:
    FitNets: Hints for Thin Deep Nets (arXiv 1412.6550), section 2.2, without that variance;
    equation (9) of :mod:`mmcskd.method`.

    Args:
        loss_weight (float): Its weight in the total. Defaults to 1.

    Raises:
        ValueError: For a negative weight.
    """

    @typed
    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_number('FeatureLoss.loss_weight', loss_weight, above_zero=False)
        self.loss_weight = loss_weight

    def forward(
        self, student_feature: Union[Tensor, Callable[[Grid], Tensor]], teacher_feature: Tensor
    ) -> Tensor:
        """The loss of one batch.

        Args:
            student_feature (Tensor | Callable): (N, K, H, W), or a function that gives it for a
                grid (H, W), as :class:`~mmcskd.FeatureConnector` returns: the coarser one.
            teacher_feature (Tensor): The teacher's last feature map (N, K, h, w), pooled to H × W.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.

        Raises:
            ValueError: If shapes do not match.
        """
        grid = teacher_feature.shape[2], teacher_feature.shape[3]
        student: Any = student_feature
        if callable(student):
            own = student.grid
            student = student((min(own[0], grid[0]), min(own[1], grid[1])))
        target = pool(teacher_feature, (student.shape[2], student.shape[3]))
        if student.shape != target.shape:
            raise ValueError(
                f'FeatureLoss: the student has features {tuple(student.shape)} and the teacher '
                f'{tuple(target.shape)}: set distiller.connectors.<name>.out_channels to '
                f'{target.shape[1]}.'
            )
        return self.loss_weight * feature_loss(student, target)
