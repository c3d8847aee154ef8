"""The memory layout in which a frozen CNN's convolutions are fastest."""

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn


@torch.no_grad()
def to_channels_last(model: nn.Module, inputs: Tensor) -> torch.memory_format:
    """Convert a model's weights to channels-last layout, in place.

    A model that flattens its feature map with ``view``, such as MMPretrain's VGG and AlexNet, fails
    in that layout. One pass over ``inputs`` shows this; the weights then stay contiguous and the
    log says why.

    Args:
        model (nn.Module): Called as ``model(inputs, mode='tensor')``.
        inputs (Tensor): (N, 3, height, width), a few preprocessed images for that pass.

    Returns:
        torch.memory_format: The layout of the weights; images should have the same.
    """
    layout = torch.channels_last
    model.to(memory_format=layout)
    try:
        model(inputs.contiguous(memory_format=layout), mode='tensor')
    except Exception as error:
        # Any other error returns in the training pass, where the recorders can name its cause.
        if isinstance(error, RuntimeError) and 'view' in str(error):
            layout = torch.contiguous_format
            model.to(memory_format=layout)
            MMLogger.get_current_instance().info(
                f'{type(model).__name__} needs a contiguous feature map: it runs without '
                'channels-last.'
            )
    return layout
