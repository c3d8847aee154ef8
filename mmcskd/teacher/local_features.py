"""A feature map, the one vector that a CNN makes of it, and the local vectors like that one."""

from typing import Any

import torch
from torch import Tensor, nn


def local_features(feature: Tensor) -> Tensor:
    """The feature of every location, as a batch of pooled ones.

    Args:
        feature (Tensor): (N, K, H, W).

    Returns:
        Tensor: (N·H·W, K), image by image, row by row.
    """
    return feature.permute(0, 2, 3, 1).flatten(0, 2)


def connected_features(layer: nn.Module, feature: Tensor) -> Tensor:
    """What a layer over the whole map makes of every location, so that their mean is its output.

    Args:
        layer (nn.Linear | nn.Conv2d): One that :func:`takes_all` of the map.
        feature (Tensor): (N, K, H, W).

    Returns:
        Tensor: (N·H·W, O), u_ij = H·W·W_ij x_ij + b.
    """
    area = feature.shape[-2:].numel()
    weight = layer.weight.flatten(1).unflatten(1, (-1, area))
    local = area * torch.einsum('nkl,okl->nlo', feature.flatten(2), weight)
    if layer.bias is not None:
        local = local + layer.bias
    return local.flatten(0, 1)


def takes_all(layer: nn.Module, feature: Tensor) -> bool:
    """Whether a layer joins all locations of a map (N, K, H, W), with a weight for each."""
    if isinstance(layer, nn.Conv2d):
        fits = layer.kernel_size == feature.shape[-2:] and layer.groups == 1
        return fits and layer.kernel_size != (1, 1) and layer.padding == (0, 0)
    if isinstance(layer, nn.Linear):
        return layer.in_features == feature.shape[1:].numel() != feature.shape[1]
    return False


def is_map(feature: Any) -> bool:
    """Whether this is a tensor (N, K, H, W)."""
    return isinstance(feature, Tensor) and feature.dim() == 4


def is_pooled(pooled: Any, feature: Tensor) -> bool:
    """Whether this is a tensor (N, K) or (N, K, 1, 1), for a map (N, K, H, W)."""
    return isinstance(pooled, Tensor) and pooled.flatten(1).shape == feature.shape[:2]


def last_of(value: Any) -> Any:
    """Of a tuple over stages, the last; a tensor is itself."""
    while isinstance(value, (tuple, list)) and len(value):
        value = value[-1]
    return value


def with_last(value: Any, last: Tensor) -> Any:
    """The tuple over stages with another last entry; in place of a tensor, that entry."""
    if isinstance(value, (tuple, list)):
        return type(value)([*value[:-1], last])
    return last


def close(given: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal but for the rounding of the coarser of their dtypes."""
    coarse = max(torch.finfo(value.dtype).eps for value in (given, expected))
    given, expected = given.float(), expected.float()
    return bool((given - expected).abs().max() <= coarse**0.5 * expected.abs().max())


def shape_of(value: Any) -> str:
    """A tensor's shape or anything else's type, for a message."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
