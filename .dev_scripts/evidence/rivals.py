"""Other ways to distil a CNN into a ViT, as published, where MMRazor has none; and candidates."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.models.losses import DKDLoss
from mmrazor.registry import MODELS
from torch import Tensor, nn

from mmcskd.method import pool
from mmcskd.student.token_source import PatchTokens


@MODELS.register_module()
class ClassTokenConnector(BaseConnector):
    """Turn the record of a ``PatchToken`` recorder into the class token, (N, D).

    Args:
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.
    """

    def forward_train(self, feature: PatchTokens) -> Tensor:
        """The class token."""
        return feature.parts[0][:, 0]


@MODELS.register_module()
class PatchFeatureConnector(BaseConnector):
    """Turn the record of a ``PatchToken`` recorder into a map of the patch tokens.

    Args:
        grid (tuple[int, int], optional): Its grid (H, W), to which the tokens are averaged.
            Defaults to None: their own.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.
    """

    def __init__(self, grid: Optional[Tuple[int, int]] = None, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.grid = grid

    def forward_train(self, feature: PatchTokens) -> Tensor:
        """(N, H, W, D)."""
        tokens = feature.parts[1].unflatten(1, feature.grid).permute(0, 3, 1, 2)
        return pool(tokens, self.grid or feature.grid).permute(0, 2, 3, 1)


@MODELS.register_module()
class OrthogonalConnector(BaseConnector):
    """A linear projection whose weight stays orthogonal.

    Source: Miles et al., "VkD: Improving Knowledge Distillation using Orthogonal Projections"
    (CVPR 2024, arXiv 2403.06213), section 3.

    Args:
        in_channels (int): Width D of the student.
        out_channels (int): Width K of the teacher.
        orthogonal (bool): Whether it is. Defaults to True; False is a plain linear layer.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, orthogonal: bool = True, init_cfg=None
    ) -> None:
        super().__init__(init_cfg)
        linear = nn.Linear(in_channels, out_channels, bias=False)
        self.linear = nn.utils.parametrizations.orthogonal(linear) if orthogonal else linear

    def forward_train(self, feature: Tensor) -> Tensor:
        """(…, D) → (…, K)."""
        return self.linear(feature)


@MODELS.register_module()
class DecouplingConnector(BaseConnector):
    """RSD's two layers between the student's own feature and the one that is compared.

    Args:
        in_channels (int): Width D of the student.
        out_channels (int): Width K of the teacher.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.
    """

    def __init__(self, in_channels: int, out_channels: int, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, out_channels), nn.GELU(), nn.Linear(out_channels, out_channels)
        )

    def forward_train(self, feature: Tensor) -> Tensor:
        """(N, D) → (N, K)."""
        return self.layers(feature)


@MODELS.register_module()
class NormalisedFeatureLoss(nn.Module):
    """Smooth L1 between the student's projected features and the teacher's layer-normalised ones.

    With a grid of 1 × 1 that is VkD's loss of features.

    Args:
        loss_weight (float): Its weight in the total. Defaults to 1.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            student_feature (Tensor): (N, H, W, K), from an ``OrthogonalConnector``.
            teacher_feature (Tensor): The teacher's last map (N, K, h, w), averaged to H × W.
        """
        target = pool(teacher_feature, student_feature.shape[1:3]).permute(0, 2, 3, 1)
        target = F.layer_norm(target, target.shape[-1:])
        return self.loss_weight * F.smooth_l1_loss(student_feature, target)


@MODELS.register_module()
class RSDLoss(nn.Module):
    """Redundancy suppression: correlate each feature with its own counterpart, with no other.

    Features are standardised over the batch; their correlation matrix R (K × K) is brought to the
    identity: the mean over K of (R_kk − 1)² plus κ times the sum of R_kj² beside the diagonal.
    Source: Zhang et al., "Cross-Architecture Distillation Made Simple with Redundancy Suppression"
    (ICCV 2025, arXiv 2507.21844).

    Args:
        kappa (float): κ. Defaults to 0.01.
        loss_weight (float): Its weight in the total. Defaults to 1.
    """

    def __init__(self, kappa: float = 0.01, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.kappa = kappa
        self.loss_weight = loss_weight

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            student_feature (Tensor): (N, K), from a ``DecouplingConnector``.
            teacher_feature (Tensor): The teacher's last map (N, K, h, w), averaged here.
        """
        ours, theirs = (
            (feature - feature.mean(0)) / (feature.std(0, unbiased=False) + 1e-5)
            for feature in (student_feature, teacher_feature.mean((2, 3)))
        )
        correlation = ours.T @ theirs / len(ours)
        own = torch.eye(len(correlation), device=correlation.device)
        weights = own + self.kappa * (1 - own)
        return self.loss_weight * ((correlation - own).square() * weights).sum() / len(own)


@MODELS.register_module()
class MixedDKDLoss(DKDLoss):
    """MMRazor's DKD for batches that are cut and mixed: the target is the class with most of it."""

    def forward(self, preds_S: Tensor, preds_T: Tensor, gt_labels: Tensor) -> Tensor:
        """As of ``DKDLoss``.

        Args:
            preds_S (Tensor): (N, C).
            preds_T (Tensor): (N, C).
            gt_labels (Tensor): Scores (N, C) or classes (N,).
        """
        classes = gt_labels.argmax(1) if gt_labels.dim() == 2 else gt_labels
        return super().forward(preds_S, preds_T, classes)
