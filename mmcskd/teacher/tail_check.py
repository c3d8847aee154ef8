"""What is checked once, on the first batch: the pooling pools, and the tail keeps rows apart."""

from typing import Any, Callable, Optional, Tuple

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from .connected_layer import takes_all
from .global_pooling import POOLINGS

KEY = 'distiller.teacher_recorders.<name>'


def check_pooling(module: nn.Module, feature: Any, pooled: Any, source: str) -> None:
    """Refuse a module that is no pooling, or changes a constant map.

    Args:
        module (nn.Module): The pooling: (N, K, H, W) → (N, K) or (N, K, 1, 1).
        feature (Any): What it took of the first batch.
        pooled (Any): What it gave.
        source (str): Its name.

    Raises:
        ValueError: If it does anything else.
    """
    if not _is_map(feature) or not _is_pooled(pooled, feature):
        raise ValueError(
            f'SpatialResponse.source: "{source}" maps {shape_of(feature)} to {shape_of(pooled)}, '
            'expected (N, K, H, W) to (N, K) or (N, K, 1, 1) (tokens have no grid): name the '
            f'module that pools the last feature map with {KEY}.source.'
        )
    if type(module).__name__ in POOLINGS:
        return
    corner = feature[:, :, :1, :1]
    again = tree_flatten(module.forward(corner.expand_as(feature).contiguous()))[0][-1]
    if not close(again.flatten(1), corner.flatten(1)):
        raise ValueError(
            f'SpatialResponse.source: "{source}" does more than pool, it changes a constant map: '
            f'name the pooling alone with {KEY}.source.'
        )


def check_map(layer: nn.Module, feature: Any, given: Any, name: str, source: str) -> bool:
    """Refuse a layer that takes neither a map nor its mean.

    Args:
        layer (nn.Module): The module behind the pooling.
        feature (Any): The map (N, K, H, W), of the first batch.
        given (Any): What the layer took.
        name (str): Name of the module that gave the map.
        source (str): Name of the layer.

    Returns:
        bool: Whether the layer takes the whole map.

    Raises:
        ValueError: If it takes anything else, or ran before the map was there.
    """
    if feature is None:
        raise ValueError(
            f'SpatialResponse.feature: "{name}" did not run before "{source}": name the module '
            f'that gives the last feature map with {KEY}.feature.'
        )
    connected = _is_map(feature) and takes_all(layer, feature)
    if not _is_map(feature) or not (connected or _is_pooled(given, feature)):
        raise ValueError(
            f'SpatialResponse.source: "{source}" takes {shape_of(given)} of the map '
            f'{shape_of(feature)} of "{name}", expected (N, K) or (N, K, 1, 1), or all of it in a '
            f'linear or convolution layer, of (N, K, H, W): set {KEY}.source and .feature to the '
            'modules right behind and before the pooling.'
        )
    expected = feature if connected else feature.mean((2, 3))
    if not close(given.flatten(1), expected.flatten(1)):
        raise ValueError(
            f'SpatialResponse.feature: what "{source}" takes is not '
            f'{"the map" if connected else "the mean of the map"} of "{name}": set {KEY}.source '
            'and .feature to the modules right behind and before the pooling.'
        )
    return connected


def check_tail(
    recorded: Tensor, run: Callable, source: Tuple[str, nn.Module], logits: Tuple[str, nn.Module]
) -> None:
    """Run the teacher without local features and compare its logits.

    Args:
        recorded (Tensor): Logits (N, C) of the pass with local features.
        run (Callable): Runs the teacher on the same batch and returns its output.
        source (tuple[str, nn.Module]): Name and module of the pooling.
        logits (tuple[str, nn.Module]): Name and module of the end of the tail.

    Raises:
        ValueError: If the logits differ, are not finite, or if a module behind the pooling takes a
            feature map.
    """
    own, map_behind = _watch(run, source[1], logits[1])
    if map_behind is not None:
        raise ValueError(
            f'SpatialResponse.source: behind "{source[0]}" the teacher uses a feature map '
            f'still, of shape {map_behind}: name its last pooling with {KEY}.source.'
        )
    if not own.isfinite().all():
        raise ValueError(
            f'The teacher\'s own logits, of "{logits[0]}", are not finite: check '
            'model.teacher_ckpt, model.teacher_view and the precision of optim_wrapper.'
        )
    if own.numel() != recorded.numel() or not close(recorded, own.reshape(recorded.shape)):
        raise ValueError(
            f'SpatialResponse: between "{source[0]}" and "{logits[0]}" the teacher\'s logits '
            'depend on the other rows of the batch or on chance, as with BatchNorm or dropout in '
            f'training mode: call teacher.eval(), or set {KEY}.source and .logits.'
        )


def close(given: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal up to the rounding of the coarser of their dtypes."""
    coarse = max(torch.finfo(value.dtype).eps for value in (given, expected))
    given, expected = given.float(), expected.float()
    return bool((given - expected).abs().max() <= coarse**0.5 * expected.abs().max())


def _watch(run: Callable, source: nn.Module, end: nn.Module) -> Tuple[Any, Optional[Tuple]]:
    """The logits, and the shape of the last feature map that a module of the tail takes."""
    in_tail, logits = False, None
    map_behind: Optional[Tuple[int, ...]] = None

    @torch._dynamo.disable
    def before(module: nn.Module, inputs: Tuple) -> None:
        nonlocal map_behind
        given = next(reversed(tree_flatten(inputs)[0]), None)
        if not in_tail or not isinstance(given, Tensor) or given.dim() != 4:
            return
        if given.shape[-2:].numel() > 1:
            map_behind = tuple(given.shape)

    @torch._dynamo.disable
    def after(module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        nonlocal in_tail, logits
        if module is source:
            in_tail = True
        if module is end:
            in_tail, logits = False, outputs

    hooks = (
        nn.modules.module.register_module_forward_pre_hook(before),
        nn.modules.module.register_module_forward_hook(after),
    )
    try:
        output = run()
    finally:
        for hook in hooks:
            hook.remove()
    # Where the tail ends with the model itself, no hook is called: `run` is its bare forward.
    return (output if logits is None else logits), map_behind


def _is_map(feature: Any) -> bool:
    return isinstance(feature, Tensor) and feature.dim() == 4


def _is_pooled(pooled: Any, feature: Tensor) -> bool:
    """Whether this is a tensor (N, K) or (N, K, 1, 1), for a map (N, K, H, W)."""
    return isinstance(pooled, Tensor) and pooled.flatten(1).shape == feature.shape[:2]


def shape_of(value: Any) -> str:
    """A tensor's shape or anything else's type, for a message."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
