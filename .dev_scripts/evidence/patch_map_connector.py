from mmrazor.models.architectures.connectors.base_connector import BaseConnector
from mmrazor.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PatchMapConnector(BaseConnector):
    """Put a layer's patch tokens back on their square grid, for connectors that take maps.

    Args:
        num_extra_tokens (int): How many tokens come before the patches.
        init_cfg (dict, optional): As in every MMRazor connector. Defaults to None.
    """

    def __init__(self, num_extra_tokens: int, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.num_extra_tokens = num_extra_tokens

    def forward_train(self, feature: Tensor) -> Tensor:
        """Tokens as a map.

        Args:
            feature (Tensor): (N, E + s·s, D).

        Returns:
            Tensor: (N, D, s, s).
        """
        patches = feature[:, self.num_extra_tokens :].transpose(1, 2)
        side = round(patches.shape[2] ** 0.5)
        return patches.unflatten(2, (side, side))
