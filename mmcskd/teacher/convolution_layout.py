"""The memory layout that a frozen CNN's convolutions are fastest in."""

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn


@torch.no_grad()
def to_channels_last(model: nn.Module, inputs: Tensor) -> torch.memory_format:
    """Lay out a model's weights channels-last, which its feature maps then follow, in place.

    A model that flattens its map with ``view``, such as MMPretrain's VGG and AlexNet, cannot take
    that layout. This shows when it is tried; it keeps the layout it has then, and so it is said.

    Args:
        model (nn.Module): Called as ``model(inputs, mode='tensor')``.
        inputs (Tensor): (N, 3, height, width), a few preprocessed images to try it on.

    Returns:
        torch.memory_format: The layout of the weights, in which the model wants its images too.
    """
    layout = torch.channels_last
    model.to(memory_format=layout)
    try:
        model(inputs.contiguous(memory_format=layout), mode='tensor')
    except Exception as error:
        # Any other error comes again in the pass proper, whose recorders know more of its cause.
        if isinstance(error, RuntimeError) and 'view' in str(error):
            layout = torch.contiguous_format
            model.to(memory_format=layout)
            MMLogger.get_current_instance().info(
                f'{type(model).__name__} views its feature map as contiguous: not in channels-last.'
            )
    return layout
