"""Fold a frozen CNN's batch norms into the convolutions before them."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


@torch.no_grad()
def fold_norms(model: nn.Module, inputs: Tensor) -> int:
    """Merge each batch norm into the convolution that feeds it, in place.

    In evaluation mode a batch norm multiplies and shifts each channel, which the weight and bias of
    the convolution can do. One forward pass finds which convolution feeds which norm. A second one
    checks that the output is the same up to rounding; if not, the model is restored and a warning
    is logged.

    Args:
        model (nn.Module): In evaluation mode; called as ``model(inputs, mode='tensor')``. The
            outputs of the folded convolutions change, those of the norms do not.
        inputs (Tensor): (N, 3, height, width), a few preprocessed images for these passes.

    Returns:
        int: The number of folded norms.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        pairs, before = _watch(model, inputs)
        if not isinstance(before, Tensor):
            return 0  # the recorder refuses a model without class logits
        undo = [_fold(conv, norm) for conv, norm in pairs]
        after = model(inputs, mode='tensor')
    # The tolerance allows for TF32, the default precision of convolutions on CUDA.
    if torch.allclose(before, after, rtol=0, atol=1e-3 * float(before.abs().max())):
        return len(pairs)
    for restore in reversed(undo):  # in reverse: two norms may share one convolution
        restore()
    MMLogger.get_current_instance().warning(
        f'{type(model).__name__}: batch norms stay as they are, as folding them changed the output.'
    )
    return 0


def _watch(model: nn.Module, inputs: Tensor) -> Tuple[List[Tuple], Tensor]:
    """Pairs of a convolution and the norm that takes its output, and the model's output."""
    made: Dict[int, Tuple[nn.Module, Tensor]] = {}
    pairs: List[Tuple] = []
    calls: Dict[nn.Module, int] = {}

    def note_conv(conv, _, output):
        calls[conv] = calls.get(conv, 0) + 1
        made[id(output)] = (conv, output)  # a reference, so that the id stays in use

    def note_norm(norm, args):
        calls[norm] = calls.get(norm, 0) + 1
        if id(args[0]) in made:
            pairs.append((made[id(args[0])][0], norm))

    handles = []
    for module in model.modules():
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(note_conv))
        elif _remainder(module) is not None:
            handles.append(module.register_forward_pre_hook(note_norm))
    try:
        output = model(inputs, mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[module] == 1 for module in pair)], output


def _remainder(norm: Any) -> Optional[Callable]:
    """What a folded norm still computes; None for a module that cannot be folded."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.training or norm.running_mean is None:
        return None
    if 'forward' in vars(norm):  # folded already: copies of a student share the teacher
        return None
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity().forward
    if type(norm).__name__ == 'BatchNormAct2d':  # timm's: norm, dropout and activation
        return nn.Sequential(*map(norm.get_submodule, ('drop', 'act'))).forward
    return None


def _fold(conv: nn.Conv2d, norm: Any) -> Callable[[], None]:
    """Fold one norm and return the function that restores it."""
    weight, bias = conv.weight, conv.bias
    layout = torch.channels_last
    folded = fuse_conv_bn_weights(
        weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.weight, conv.bias = (nn.Parameter(each.detach(), requires_grad=False) for each in folded)
    if weight.is_contiguous(memory_format=layout):
        conv.weight.data = conv.weight.data.contiguous(memory_format=layout)
    norm.forward = _remainder(norm)  # the module keeps its name and hooks

    def restore():
        conv.weight, conv.bias = weight, bias
        del norm.forward

    return restore
