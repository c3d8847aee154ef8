"""A layer over the whole feature map, as VGG, AlexNet and LeNet-5 have in place of a pooling."""

from typing import Union

import torch
from torch import Tensor, nn


def takes_all(layer: nn.Module, feature: Tensor) -> bool:
    """Whether a layer has one weight for each location of a feature map.

    Args:
        layer (nn.Module): The module behind the map.
        feature (Tensor): The map (N, K, H, W).

    Returns:
        bool: True for a linear layer of K·H·W inputs and for a convolution with a kernel H × W.
    """
    if isinstance(layer, nn.Conv2d):
        fits = layer.kernel_size == feature.shape[-2:] and layer.groups == 1
        return fits and layer.kernel_size != (1, 1) and layer.padding == (0, 0)
    if isinstance(layer, nn.Linear):
        return layer.in_features == feature.shape[1:].numel() != feature.shape[1]
    return False


def connected_features(layer: Union[nn.Linear, nn.Conv2d], feature: Tensor) -> Tensor:
    """Split the output of such a layer into local features, whose mean is that output.

    Args:
        layer (nn.Linear | nn.Conv2d): One that :func:`takes_all` of the map.
        feature (Tensor): (N, K, H, W).

    Returns:
        Tensor: (N·H·W, O), u_ij = H·W·W_ij x_ij + b, image by image, row by row.
    """
    area = feature.shape[-2:].numel()
    weight = layer.weight.flatten(1).unflatten(1, (-1, area))
    local = area * torch.einsum('nkl,okl->nlo', feature.flatten(2), weight)
    if layer.bias is not None:
        local = local + layer.bias
    return local.flatten(0, 1)
