"""Fold a frozen CNN's batch norms into the convolutions before them."""

from functools import partial
from typing import Dict, List, Tuple

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


@torch.no_grad()
def fold_norms(model: nn.Module, inputs: Tensor) -> int:
    """Let convolutions do the work of the batch norms that follow them, in place.

    In evaluation mode a batch norm is a factor and a summand for each channel. What feeds what is
    seen in a forward pass, not guessed from names; a second one checks that the output is the same
    to float tolerance, otherwise all is undone and said.

    Args:
        model (nn.Module): In evaluation mode; called as ``model(inputs, mode='tensor')``. Outputs
            of the folded convolutions themselves change, those of the norms do not.
        inputs (Tensor): (N, 3, height, width), a few preprocessed images to try it on.

    Returns:
        int: How many norms were folded.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        pairs, before = _watch(model, inputs)
        if not isinstance(before, Tensor):
            return 0  # no class logits: for the recorder to refuse
        undo = [_fold(conv, norm) for conv, norm in pairs]
        after = model(inputs, mode='tensor')
    # As far as TF32, in which CUDA convolves by default, agrees with itself.
    if torch.allclose(before, after, rtol=0, atol=1e-3 * float(before.abs().max())):
        return len(pairs)
    for restore in reversed(undo):  # two norms may have gone into one convolution
        restore()
    MMLogger.get_current_instance().warning(
        f'{type(model).__name__}: batch norms stay as they are, as folding them changed the output.'
    )
    return 0


def _watch(model: nn.Module, inputs: Tensor) -> Tuple[List[Tuple], Tensor]:
    """Pairs of a convolution and the norm that takes its output, and the model's output."""
    made: Dict[int, Tuple[nn.Module, Tensor]] = {}
    pairs, calls = [], {}

    def note_conv(conv, _, output):
        calls[conv] = calls.get(conv, 0) + 1
        made[id(output)] = (conv, output)  # kept, so that no other tensor takes its id

    def note_norm(norm, args):
        calls[norm] = calls.get(norm, 0) + 1
        if id(args[0]) in made:
            pairs.append((made[id(args[0])][0], norm))

    handles = []
    for module in model.modules():
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(note_conv))
        elif _behind(module) is not None:
            handles.append(module.register_forward_pre_hook(note_norm))
    try:
        output = model(inputs, mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[module] == 1 for module in pair)], output


def _behind(norm: nn.Module):
    """What is left of a norm once it is folded; None for what is no norm to fold."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.training or norm.running_mean is None:
        return None
    if 'forward' in vars(norm):  # folded before, for another copy of the student
        return None
    if type(norm) is nn.BatchNorm2d:
        return _same
    if type(norm).__name__ == 'BatchNormAct2d':  # timm's, with the activation in it
        return partial(_then, norm.drop, norm.act)
    return None


def _same(inputs: Tensor) -> Tensor:
    return inputs


def _then(drop: nn.Module, act: nn.Module, inputs: Tensor) -> Tensor:
    return act(drop(inputs))


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d):
    """Fold one norm; returns the function that undoes it."""
    weight, bias = conv.weight, conv.bias
    layout = torch.channels_last
    folded = fuse_conv_bn_weights(
        weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.weight, conv.bias = (nn.Parameter(each.detach(), requires_grad=False) for each in folded)
    if weight.is_contiguous(memory_format=layout):
        conv.weight.data = conv.weight.data.contiguous(memory_format=layout)
    norm.forward = _behind(norm)  # the module stays, and so do its name and hooks

    def restore():
        conv.weight, conv.bias = weight, bias
        del norm.forward

    return restore
