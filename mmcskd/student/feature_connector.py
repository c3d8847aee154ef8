"""From the student's tokens to features that are compared with the teacher's."""

from dataclasses import replace
from typing import Any, Optional

from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import nn

from ..checks.typed import typed
from .token_source import PatchTokens

KEY = 'distiller.connectors.<name>.out_channels'


@MODELS.register_module()
class FeatureConnector(BaseConnector):
    """Turn the student's patch tokens into features of the teacher's width, on the teacher's grid.

    The tokens are pooled and projected by a linear layer. It learns along with the student, is
    part of a run's checkpoints and of no exported student.

    Args:
        out_channels (int, optional): Width K of the teacher's feature map. Defaults to None: what
            the teacher's head takes, ``model.teacher.head.in_channels``.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If ``out_channels`` is below 1, or the teacher's head does not say what it
            takes.
        TypeError: If its input is not the record of a :class:`PatchTokenRecorder`.

    Examples:
        >>> connectors = dict(feature=dict(type='FeatureConnector'))
    """

    @typed
    def __init__(self, out_channels: Optional[int] = None, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if out_channels is not None and out_channels < 1:
            raise ValueError(f'{KEY} is {out_channels}, expected 1 or more channels.')
        self.out_channels = out_channels
        self.linear: Any = None

    def connect(self, student: Any, teacher: Any) -> None:
        """Make the linear layer; the algorithm does so when both models are built.

        Args:
            student (CSKDClassifier): Of width D.
            teacher (nn.Module): Its ``head.in_channels`` is K, if no other is set.
        """
        out_channels = self.out_channels
        if out_channels is None:
            out_channels = getattr(getattr(teacher, 'head', None), 'in_channels', None)
        if not isinstance(out_channels, int):
            raise ValueError(
                f'{KEY} is not set, and the teacher ({type(teacher).__name__}) has '
                'no head.in_channels: set it to the channels of its last feature map.'
            )
        self.linear = nn.Linear(student.width, out_channels)

    def forward_train(self, feature: PatchTokens) -> PatchTokens:
        """The features, as a function of the grid.

        Args:
            feature (PatchTokens): The record.

        Returns:
            PatchTokens: (H, W) → features (N, K, H, W).
        """
        if not isinstance(feature, PatchTokens):
            raise TypeError(
                f'FeatureConnector takes the record of a "PatchToken" recorder, got '
                f'{type(feature).__name__}: set distiller.student_recorders.<name>.type.'
            )
        return replace(feature, distillation_head=self.linear)
