from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor

from .patch_token_recorder import PatchTokens


@MODELS.register_module()
class DistTokenConnector(BaseConnector):
    """Turn the student's distillation token into its logits z_dist.

    The student's own distillation head is applied; the connector has no weights of its own.

    Args:
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.

    Raises:
        ValueError: If the student has no distillation token.
    """

    def forward_train(self, feature: PatchTokens) -> Tensor:
        """Logits of the distillation token.

        Args:
            feature (PatchTokens): Tokens (N, L, D) with their grid and head.

        Returns:
            Tensor: z_dist (N, C).
        """
        if feature.num_extra_tokens < 2:
            raise ValueError(
                'The student has no distillation token: leave the DeiT term out of '
                'distiller.distill_losses and distiller.loss_forward_mappings, or set '
                'model.architecture.backbone.type to "DistilledVisionTransformer".'
            )
        return feature.distillation_head(feature.split()[0][1])
