from typing import Any, Dict, List, Optional, Tuple

import torch
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from .suggest import nearest

# Known by name, so that neither timm nor torchvision has to be imported to look for theirs.
POOLINGS = (
    'GlobalAveragePooling',
    'GeneralizedMeanPooling',
    'AdaptiveAvgPool2d',
    'AdaptiveMaxPool2d',
    'SelectAdaptivePool2d',
)
# Channel attention pools too, but inside the backbone.
ATTENTION = ('SELayer', 'SEModule', 'SqueezeExcite', 'SqueezeExcitation')


@TASK_UTILS.register_module()
class SpatialResponseRecorder(BaseRecorder):
    """Record the teacher's class response at every location of its last feature map.

    The teacher's *tail*, all that follows its global pooling, is applied to the pre-pool feature
    of each location as if that were the pooled feature. This happens within the teacher's own
    forward pass: behind the pooling module the batch is widened from N pooled features to these N
    and the N·H·W local ones, and where the tail ends it is split again. So whatever the tail
    consists of (norms, hidden layers, a classifier) acts as it does on the pooled feature, and the
    rest of the model sees its own logits.

    A record is the pair ``(spatial_response, global_response)`` of shapes (N, C, H, W) and (N, C);
    choose with ``data_idx`` 0 or 1 in ``loss_forward_mappings``. Source: CSKD, section 3.2.

    Args:
        source (str, optional): Name of the teacher's global pooling module, as in
            ``named_modules()``. Defaults to None: it is found by itself, as the last pooling to
            1 × 1 that is not part of a channel attention.
        logits (str, optional): Name of the module whose output is the class logits, where the
            tail ends; ``''`` is the whole model. Defaults to None: the model's ``head``, or, when
            the pooling lies inside it or there is none, the model's child that holds the pooling.

    Raises:
        ValueError: From :meth:`prepare_from_model` if a name is not in the model or no pooling is
            found; from the teacher's forward pass if the pooling or the tail is not what the
            names promise.

    Examples:
        >>> teacher_recorders = dict(response=dict(type='SpatialResponse'))
    """

    def __init__(self, source: Optional[str] = None, logits: Optional[str] = None) -> None:
        super().__init__(source)
        self._logits = logits
        self._recording = False
        self._grid: Optional[Tuple[int, int, int]] = None

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the pooling and the end of the tail.

        Args:
            model (nn.Module): The teacher.
        """
        if model is None:
            raise ValueError('SpatialResponseRecorder needs the teacher it records from.')
        modules = dict(model.named_modules())
        if self._source is None:
            self._source = find_pooling(model)
        if self._logits is None:
            self._logits = _find_logits(self._source, modules)
        for key, name in (('source', self._source), ('logits', self._logits)):
            if name not in modules:
                raise ValueError(
                    f'SpatialResponse.{key}: "{name}" is not a module of the teacher '
                    f'({type(model).__name__}). ' + nearest(name, modules)
                )
        modules[self._source].register_forward_hook(self._widen)
        modules[self._logits].register_forward_hook(self._split)

    def _widen(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Any:
        """Append the N·H·W local features to the N pooled ones."""
        if not self._recording:
            return None
        feature = inputs[0][-1] if isinstance(inputs[0], (tuple, list)) else inputs[0]
        pooled = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
        if feature.dim() != 4 or pooled.flatten(1).shape != feature.shape[:2]:
            raise ValueError(
                f'SpatialResponse.source: "{self._source}" maps {tuple(feature.shape)} to '
                f'{tuple(pooled.shape)}, expected (N, K, H, W) to (N, K) or (N, K, 1, 1): name '
                "the teacher's global pooling module."
            )
        n, channels, height, width = feature.shape
        self._grid = (n, height, width)
        local = feature.permute(0, 2, 3, 1).reshape(-1, channels)
        widened = torch.cat([pooled.flatten(1), local]).reshape(-1, *pooled.shape[1:])
        if isinstance(outputs, (tuple, list)):
            return type(outputs)([*outputs[:-1], widened])
        return widened

    def _split(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Optional[Tensor]:
        """Take the local responses off the batch and leave the model its own logits."""
        if not self._recording or self._grid is None:
            return None
        n, height, width = self._grid
        self._grid = None
        rows = n * (1 + height * width)
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[0] != rows:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ValueError(
                f'SpatialResponse.logits: "{self._logits}" returned {got}, expected class logits '
                f'of shape ({rows}, C) for {n} images on a {height}×{width} grid: name the module '
                'whose output is the logits.'
            )
        spatial = outputs[n:].unflatten(0, (n, height, width)).permute(0, 3, 1, 2)
        self.data_buffer.append((spatial, outputs[:n]))
        return outputs[:n]

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._grid = None
        self._recording = True

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording.

        Raises:
            ValueError: If the teacher ran but the pooling or the tail did not.
        """
        super().__exit__(exc_type, exc_value, traceback)
        self._recording = False
        if exc_type is None and not self.data_buffer:
            raise ValueError(
                f'SpatialResponse recorded nothing: the teacher did not run "{self._source}" '
                f'(source) and then "{self._logits}" (logits).'
            )


def find_pooling(model: nn.Module) -> str:
    """Name of a CNN's global pooling module.

    Args:
        model (nn.Module): The teacher.

    Returns:
        str: The last module in ``named_modules()`` that pools to 1 × 1, the outermost where they
        are nested, channel attention left out.

    Raises:
        ValueError: If there is none.
    """
    found: List[str] = []

    def visit(name: str, module: nn.Module) -> None:
        kind = type(module).__name__
        if kind in ATTENTION:
            return
        if kind in POOLINGS and _pools_to_one(module):
            found.append(name)
            return
        for child_name, child in module.named_children():
            visit(f'{name}.{child_name}' if name else child_name, child)

    visit('', model)
    if not found:
        raise ValueError(
            f'No global pooling module in the teacher ({type(model).__name__}): name the module '
            'that pools its last feature map with '
            'distiller.teacher_recorders.<name>.source (MMRazor type "SpatialResponse").'
        )
    return found[-1]


def _pools_to_one(module: nn.Module) -> bool:
    if getattr(module, 'pool_type', None) == '':  # timm's pooling, switched off
        return False
    size = getattr(module, 'output_size', 1)
    return size in (1, (1, 1), [1, 1])


def _find_logits(source: str, modules: Dict[str, nn.Module]) -> str:
    if 'head' in modules and not f'{source}.'.startswith('head.'):
        return 'head'
    return source.split('.')[0] if '.' in source else ''
