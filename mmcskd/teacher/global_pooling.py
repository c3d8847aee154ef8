"""Find where a CNN pools its last feature map, and where its class logits come from."""

import inspect
from typing import Iterator, List, Optional, Tuple

from mmpretrain.models.heads import ConformerHead, MultiLabelClsHead, MultiTaskHead
from mmpretrain.models.retrievers import BaseRetriever
from torch import nn

# By name, so that neither timm nor torchvision has to be imported.
POOLINGS = (
    'GlobalAveragePooling',
    'GeneralizedMeanPooling',
    'AdaptiveAvgPool2d',
    'AdaptiveMaxPool2d',
    'SelectAdaptivePool2d',
)
# Channel attention pools to 1 × 1 too, inside the backbone.
ATTENTION = ('SELayer', 'SEModule', 'SqueezeExcite', 'SqueezeExcitation')
# For CNNs that pool with a function or not at all: the module that outputs the last feature map and
# the module behind the pooling, both children of one parent.
LAYOUTS = (
    ('avgpool', 'classifier'),  # torchvision's VGG, AlexNet
    ('features', 'classifier'),  # MMPretrain's VGG, AlexNet; torchvision's DenseNet, MobileNetV2
    ('conv5', 'fc'),  # torchvision's ShuffleNetV2
    ('layers', 'classifier'),  # torchvision's MNASNet
)


def check_head(model: nn.Module) -> None:
    """Refuse a teacher that does not give one set of class logits.

    Args:
        model (nn.Module): The teacher.

    Raises:
        ValueError: For a retriever and for a ``head`` of several labels, of several tasks or of
            Conformer.
    """
    head = getattr(model, 'head', None)
    reason = None
    if isinstance(model, BaseRetriever):
        reason = 'it compares features and gives no class logits'
    elif isinstance(head, MultiLabelClsHead) and not getattr(head.loss_module, 'use_soft', False):
        reason = 'its head scores every label by itself'
    elif isinstance(head, MultiTaskHead):
        reason = 'its head has several tasks'
    elif isinstance(head, ConformerHead):
        reason = 'its head has two sets of logits, one of them from tokens'
    if reason is not None:
        raise ValueError(
            f'{type(model).__name__} with {type(head).__name__} cannot be the teacher, {reason}: '
            'set model.teacher to a CNN that classifies an image into one of C classes.'
        )


def find_pooling(model: nn.Module) -> Tuple[str, Optional[str]]:
    """Name of a CNN's global pooling module, or of the two modules around its pooling.

    The search takes the first of these that is there:

    1. MMPretrain's backbones that pool in front of their final norm (``gap_before_final_norm``);
    2. the convolution over the whole map in LeNet-5 and timm's VGG;
    3. the last module in ``named_modules()`` that pools to 1 × 1, the outermost of nested ones,
       channel attention left out;
    4. the ``LAYOUTS`` of CNNs that pool with a function or not at all.

    The recorder checks the result on the first batch.

    Args:
        model (nn.Module): The teacher.

    Returns:
        tuple[str, str | None]: ``source`` and ``feature`` of ``SpatialResponseRecorder``.

    Raises:
        ValueError: If there is none.
    """
    for name, module in model.named_modules():
        if getattr(module, 'gap_before_final_norm', False):
            last = max(module.out_indices)
            return _join(name, f'norm{last}'), _join(name, f'stages.{last}')
        if type(module).__name__ == 'LeNet5':  # a 5 × 5 convolution takes its 5 × 5 map
            return _join(name, 'features.6'), _join(name, 'features.5')
        if type(module).__name__ == 'VGG' and hasattr(module, 'pre_logits'):  # timm's
            return _join(name, 'pre_logits.fc1'), _join(name, 'features', _end(module.features))
    found = list(_pooling_modules(model))
    if found:
        return found[-1], None
    for name, module in model.named_modules():
        parts = dict(module.named_children())
        for feature, tail in LAYOUTS:
            if feature in parts and tail in parts:
                linear = _first_linear(parts[tail])
                if linear is not None:
                    return _join(name, tail, linear), _join(name, feature, _end(parts[feature]))
    raise ValueError(
        f'No global pooling module in the teacher ({type(model).__name__}): name the module that '
        'pools its last feature map with distiller.teacher_recorders.<name>.source or, where a '
        'function pools, the module behind it with .source and the one that gives the map with '
        '.feature (MMRazor type "SpatialResponse").'
    )


def find_logits(model: nn.Module, source: str) -> str:
    """Name of the module whose output is the class logits.

    Args:
        model (nn.Module): The teacher.
        source (str): Name of its global pooling.

    Returns:
        str: For a model with ``mode`` among its arguments its ``head``; where it has none or where
        the pooling lies inside the head, the model's child that holds the pooling. For any other
        model ``''``, the model itself.
    """
    if 'mode' not in inspect.signature(model.forward).parameters:
        return ''
    if isinstance(getattr(model, 'head', None), nn.Module) and source.split('.')[0] != 'head':
        return 'head'
    return source.split('.')[0] if '.' in source else ''


def _pooling_modules(module: nn.Module, name: str = '') -> Iterator[str]:
    kind = type(module).__name__
    if kind in ATTENTION:
        return
    if kind in POOLINGS and _pools_to_one(module):
        yield name
        return
    for child_name, child in module.named_children():
        yield from _pooling_modules(child, _join(name, child_name))


def _pools_to_one(module: nn.Module) -> bool:
    if getattr(module, 'pool_type', None) == '':  # timm's pooling, disabled
        return False
    size = getattr(module, 'output_size', 1)
    return size in (1, (1, 1), [1, 1])


def _first_linear(module: nn.Module) -> Optional[str]:
    names: List[str] = [n for n, part in module.named_modules() if isinstance(part, nn.Linear)]
    return names[0] if names else None


def _end(module: nn.Module) -> str:
    """Name of a sequence's last layer: some models call the layers one by one."""
    if isinstance(module, nn.Sequential) and len(module):
        return next(reversed(module._modules))
    return ''


def _join(*names: str) -> str:
    return '.'.join(name for name in names if name)
