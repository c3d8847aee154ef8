from functools import partial
from typing import Any, Optional, Tuple

import torch
import torch._dynamo
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from ..checks.suggest import nearest
from ..checks.typed import typed
from .connected_layer import connected_features
from .global_pooling import check_head, find_logits, find_pooling
from .tail_check import KEY, check_map, check_pooling, check_tail, shape_of

# torch.compile would trace a hook anew for each state of the recorder.
uncompiled = torch._dynamo.disable


@TASK_UTILS.register_module()
class SpatialResponseRecorder(BaseRecorder):
    """Record the teacher's class response at every location of its last feature map.

    The teacher's *tail* is all that follows its global pooling. The recorder applies it to the
    feature at each location as if that were the pooled feature, within the teacher's own forward
    pass: behind the pooling it widens the batch from N pooled features to these N and the N·H·W
    local ones; where the tail ends it splits the batch again. Norms, hidden layers and classifier
    act on a local feature as on the pooled one, and the rest of the model sees its own logits.

    Some CNNs (VGG, AlexNet, LeNet-5) pool nothing: a fully connected layer takes the whole map.
    Then that layer is the pooling. Its output Σ W_ij x_ij + b over the locations is the mean of the
    local features u_ij = H·W·W_ij x_ij + b, and the tail is what follows it. Global average pooling
    in front of a linear layer is the case of equal W_ij.

    A record is the pair ``(spatial_response, global_response)``, d of shape (N, C, H, W) and g of
    shape (N, C): ``data_idx`` 0 and 1 in ``loss_forward_mappings``; with ``keep_map`` the feature
    map (N, K, H, W) is its third part. Source: CSKD, section 3.2.

    The first batch is checked. The pooling must not change a constant map (a function in its place
    must be the mean), and a second pass without local features must give the same logits: a
    BatchNorm in training mode, for instance, mixes the rows of a batch and is refused.

    Args:
        source (str, optional): Name of the global pooling module in ``named_modules()``. With
            ``feature``: name of the module that takes the pooled feature or the whole map.
            Defaults to None: :func:`~mmcskd.teacher.global_pooling.find_pooling` finds both.
        logits (str, optional): Name of the module whose output is the class logits, where the tail
            ends; ``''`` is the whole model. Defaults to None:
            :func:`~mmcskd.teacher.global_pooling.find_logits` finds it.
        feature (str, optional): Name of the module whose output is the last feature map, for a
            teacher that averages it with a function (``x.mean((2, 3))``) or passes all of it to a
            fully connected layer. Defaults to None: the input of ``source``.
        keep_map (bool): Whether to record the feature map, too. Defaults to False.

    Raises:
        ValueError: From :meth:`prepare_from_model` if a name is not in the model, no pooling is
            found or the head gives no class logits; from the teacher's forward pass if the
            pooling or the tail is not what the names promise.

    Examples:
        >>> teacher_recorders = dict(response=dict(type='SpatialResponse'))
        >>> # torchvision's ShuffleNetV2 as ``net`` of a BaseModel: x = self.conv5(x).mean([2, 3])
        >>> dict(type='SpatialResponse', feature='net.conv5', source='net.fc')
    """

    @typed
    def __init__(
        self,
        source: Optional[str] = None,
        logits: Optional[str] = None,
        feature: Optional[str] = None,
        keep_map: bool = False,
    ) -> None:
        super().__init__(source)
        if feature is not None and source is None:
            raise ValueError(
                f'SpatialResponse.feature: "{feature}" needs the module that takes the pooled '
                f'feature: set {KEY}.source.'
            )
        self._source: Any = source
        self._logits: Any = logits
        self._feature: Any = feature
        self._with_map = keep_map
        self._recording = False
        self._checked = False
        self._forget()

    def _forget(self) -> None:
        # The map between ``feature`` and ``source``; N, H, W and, if it is recorded, the map
        # between ``source`` and ``logits``.
        self._map: Any = None
        self._grid: Optional[Tuple[int, int, int]] = None
        self._kept: Tuple[Tensor, ...] = ()

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the pooling and the end of the teacher's tail."""
        if model is None:
            raise ValueError('SpatialResponseRecorder needs the teacher it records from.')
        check_head(model)
        modules = dict(model.named_modules())
        if self._source is None:
            self._source, self._feature = find_pooling(model)
        if self._logits is None:
            self._logits = find_logits(model, self._source)
        names = dict(source=self._source, logits=self._logits, feature=self._feature)
        for key, name in names.items():
            if name is not None and name not in modules:
                raise ValueError(
                    f'SpatialResponse.{key}: "{name}" is not a module of the teacher '
                    f'({type(model).__name__}). ' + nearest(name, modules)
                )
        source, logits = modules[self._source], modules[self._logits]
        if self._feature is None:
            source.register_forward_hook(self._widen_pooled)
        else:
            modules[self._feature].register_forward_hook(self._keep_map)
            source.register_forward_pre_hook(self._widen_input)
            source.register_forward_hook(self._widen_connected)
        logits.register_forward_hook(self._split)
        model.register_forward_hook(self._check_first_batch, with_kwargs=True)
        self._tail = (self._source, source), (self._logits, logits)

    @uncompiled
    def _widen_pooled(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Any:
        """Behind a pooling module: append the N·H·W local features to the N pooled ones."""
        if not self._recording:
            return None
        feature, pooled = last_of(inputs[:1]), last_of(outputs)
        if not self._checked:
            check_pooling(module, feature, pooled, self._source)
        return with_last(outputs, self._widen(pooled, local_features(feature), feature))

    @uncompiled
    def _keep_map(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._recording:
            self._map = last_of(outputs)

    @uncompiled
    def _widen_input(self, module: nn.Module, inputs: Tuple) -> Optional[Tuple]:
        """Behind a function that averages the map: widen the input of the next module."""
        if not self._recording:
            return None
        given = last_of(inputs[:1])
        if not self._checked:
            self._connected = check_map(module, self._map, given, self._feature, self._source)
        if self._connected:
            return None  # its output is what is widened
        feature, self._map = self._map, None
        widened = self._widen(given, local_features(feature), feature)
        return (with_last(inputs[0], widened), *inputs[1:])

    @uncompiled
    def _widen_connected(self, module: Any, inputs: Tuple, outputs: Tensor) -> Any:
        """Behind a layer over the whole map: append u_ij to its output, their mean."""
        if not self._recording or self._map is None:
            return None
        feature, self._map = self._map, None
        return self._widen(outputs, connected_features(module, feature), feature)

    def _widen(self, pooled: Tensor, local: Tensor, feature: Tensor) -> Tensor:
        n, _, height, width = feature.shape
        self._grid = (n, height, width)
        self._kept = (feature,) if self._with_map else ()
        rows = torch.cat([pooled.flatten(1), local.to(pooled.dtype)])
        return rows.reshape(-1, *pooled.shape[1:])

    @uncompiled
    def _split(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Optional[Tensor]:
        """Behind the tail: keep the responses and return the model its own logits."""
        if not self._recording or self._grid is None:
            return None
        (n, height, width), self._grid = self._grid, None
        rows = n * (1 + height * width)
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[0] != rows:
            raise ValueError(
                f'SpatialResponse.logits: "{self._logits}" returned {shape_of(outputs)}, expected '
                f'class logits of shape ({rows}, C) for {n} images on a {height}×{width} grid: '
                f'name the module whose output is the logits with {KEY}.logits.'
            )
        global_response, local = outputs[:n], outputs[n:]
        spatial_response = local.unflatten(0, (n, height, width)).permute(0, 3, 1, 2)
        self.data_buffer.append((spatial_response, global_response, *self._kept))
        self._kept = ()
        return global_response

    @uncompiled
    def _check_first_batch(self, model: nn.Module, args: Tuple, kwargs: dict, outputs: Any) -> None:
        if not self._recording or self._checked or not self.data_buffer:
            return
        global_response = self.data_buffer[-1][1]
        self._recording = False
        try:
            # The bare forward: hooks in front of it have prepared the images already.
            check_tail(global_response, partial(model.forward, *args, **kwargs), *self._tail)
        finally:
            self._recording = True
        self._checked = True

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._forget()
        self._recording = True

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording.

        Raises:
            ValueError: If the teacher ran but the pooling or the tail did not, or if the tail
                failed on the widened batch.
        """
        super().__exit__(exc_type, exc_value, traceback)
        grid = self._grid
        self._forget()
        self._recording = False
        if exc_type is None and not self.data_buffer:
            raise ValueError(
                f'SpatialResponse recorded nothing: the teacher did not run "{self._source}" '
                f'({KEY}.source) and then "{self._logits}" ({KEY}.logits).'
            )
        out_of_memory = isinstance(exc_value, torch.cuda.OutOfMemoryError)
        if grid is not None and isinstance(exc_value, Exception) and not out_of_memory:
            raise ValueError(
                f'SpatialResponse: behind "{self._source}" the teacher cannot take one row for '
                f'each location of its map ({exc_value}): name the last pooling, after which no '
                f'feature map is used, with {KEY}.source, or where the tail ends with .logits.'
            ) from exc_value


def local_features(feature: Tensor) -> Tensor:
    """(N, K, H, W) → (N·H·W, K), image by image, row by row."""
    return feature.permute(0, 2, 3, 1).flatten(0, 2)


def last_of(value: Any) -> Any:
    """The last entry of a tuple over stages; any other value as it is."""
    while isinstance(value, (tuple, list)) and len(value):
        value = value[-1]
    return value


def with_last(value: Any, last: Tensor) -> Any:
    """A tuple over stages with another last entry; in place of a tensor, that entry."""
    return type(value)([*value[:-1], last]) if isinstance(value, (tuple, list)) else last
