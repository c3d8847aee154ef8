from typing import Any, Optional, Tuple

import torch
import torch._dynamo
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from ..checks.suggest import nearest
from ..checks.typed import typed
from .global_pooling import POOLINGS, check_head, find_logits, find_pooling
from .local_features import (
    close,
    connected_features,
    is_map,
    is_pooled,
    last_of,
    local_features,
    shape_of,
    takes_all,
    with_last,
)
from .tail_check import KEY, TailCheck

# Traced by torch.compile, a hook would be compiled anew for each of the states below.
uncompiled = torch._dynamo.disable


@TASK_UTILS.register_module()
class SpatialResponseRecorder(BaseRecorder):
    """Record the teacher's class response at every location of its last feature map.

    The teacher's *tail*, all that follows its global pooling, is applied to the pre-pool feature
    of each location as if that were the pooled feature. This happens within the teacher's own
    forward pass: behind the pooling the batch is widened from N pooled features to these N and the
    N·H·W local ones, and where the tail ends it is split again. So whatever the tail consists of
    (norms, hidden layers, a classifier) acts as it does on the pooled feature, and the rest of the
    model sees its own logits. Where the tail is one module, which is given the pooled feature itself,
    that module is called once more with the local features, which then need not be copied.

    Where a fully connected layer takes the whole map and nothing is pooled (VGG, AlexNet, LeNet-5),
    that layer *is* a pooling: its output, Σ W_ij x_ij + b over the locations, is the mean of
    the local features u_ij = H·W·W_ij x_ij + b. Their tail is what follows the layer. Global average
    pooling in front of a linear layer is the case of equal W_ij, so both are one definition.

    A record is the pair ``(spatial_response, global_response)`` of shapes (N, C, H, W) and (N, C);
    choose with ``data_idx`` 0 or 1 in ``loss_forward_mappings``. Source: CSKD, section 3.2.

    The first batch recorded is checked: the pooling must leave a constant map as it is (or, where
    it is a function, be the mean), and a second pass without the local features must give the same
    logits, so that no part of the tail mixes the rows of a batch, as a BatchNorm in training mode
    would.

    Args:
        source (str, optional): Name of the teacher's global pooling module, as in
            ``named_modules()``; with ``feature``, of the module that takes the pooled feature or
            the whole map. Defaults to None: it is found by itself, with ``feature``, see
            :func:`~mmcskd.teacher.global_pooling.find_pooling`.
        logits (str, optional): Name of the module whose output is the class logits, where the
            tail ends; ``''`` is the whole model. Defaults to None: the model's ``head``, or, when
            the pooling lies inside it or there is none, the model's child that holds the pooling;
            the whole model if it is called without ``mode``.
        feature (str, optional): Name of the module whose output is the last feature map, for a
            teacher that averages it with a function (``x.mean((2, 3))``) or passes all of it to a
            fully connected layer. Defaults to None: the input of ``source``.

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
    ) -> None:
        super().__init__(source)
        if feature is not None and source is None:
            raise ValueError(
                f'SpatialResponse.feature: "{feature}" needs the module that takes the pooled '
                f'feature: set {KEY}.source.'
            )
        self._logits = logits
        self._feature = feature
        self._recording = False
        self._checked = False
        self._map: Optional[Tensor] = None  # on its way from ``feature`` to ``source``
        self._grid: Optional[Tuple[int, int, int]] = None  # on its way to ``logits``
        self._tail_is_module = False  # known from the first batch on
        self._widened: Optional[Tensor] = None  # until then, on its way to ``logits``
        self._local: Optional[Tensor] = None  # from then on, likewise
        self._check: Optional[TailCheck] = None

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the pooling and the end of the tail.

        Args:
            model (nn.Module): The teacher.
        """
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
        source = modules[self._source]
        if self._feature is None:
            source.register_forward_hook(self._widen_pooled)
        else:
            modules[self._feature].register_forward_hook(self._keep_map)
            source.register_forward_pre_hook(self._widen_input)
            source.register_forward_hook(self._widen_connected)
        modules[self._logits].register_forward_pre_hook(self._compare_input)
        modules[self._logits].register_forward_hook(self._split)
        model.register_forward_hook(self._check_logits, with_kwargs=True)

    @uncompiled
    def _widen_pooled(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Any:
        """Behind a pooling module: append the N·H·W local features to the N pooled ones."""
        if self._check is not None:
            self._check.enter()
        if not self._recording:
            return None
        feature, pooled = last_of(inputs[:1]), last_of(outputs)
        if not is_map(feature) or not is_pooled(pooled, feature):
            raise ValueError(
                f'SpatialResponse.source: "{self._source}" maps {shape_of(feature)} to '
                f'{shape_of(pooled)}, expected (N, K, H, W) to (N, K) or (N, K, 1, 1) (tokens '
                f'have no grid): name the module that pools the last feature map with {KEY}.source.'
            )
        if not self._checked and type(module).__name__ not in POOLINGS:
            corner = feature[:, :, :1, :1]
            constant = last_of(module.forward(corner.expand_as(feature).contiguous()))
            if not close(constant.flatten(1), corner.flatten(1)):
                raise ValueError(
                    f'SpatialResponse.source: "{self._source}" does more than pool, it changes a '
                    f'constant map: name the pooling alone with {KEY}.source.'
                )
        return with_last(outputs, self._widen(pooled, local_features(feature), feature))

    @uncompiled
    def _keep_map(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._recording:
            self._map = last_of(outputs)

    @uncompiled
    def _widen_input(self, module: nn.Module, inputs: Tuple) -> Optional[Tuple]:
        """Behind a mean that is no module: widen what the module after it is given."""
        if not self._recording:
            return None
        feature, given = self._map, last_of(inputs[:1])
        if feature is None:
            raise ValueError(
                f'SpatialResponse.feature: "{self._feature}" did not run before '
                f'"{self._source}": name the module that gives the last feature map with '
                f'{KEY}.feature.'
            )
        if not is_map(feature) or not (takes_all(module, feature) or is_pooled(given, feature)):
            raise ValueError(
                f'SpatialResponse.source: "{self._source}" takes {shape_of(given)} of the map '
                f'{shape_of(feature)} of "{self._feature}", expected (N, K) or (N, K, 1, 1), or all '
                f'of it in a linear or convolution layer, of (N, K, H, W): set {KEY}.source and '
                '.feature to the modules right behind and before the pooling.'
            )
        connected = takes_all(module, feature)
        if not self._checked:
            expected = feature.flatten(1) if connected else feature.mean((2, 3))
            if not close(given.flatten(1), expected):
                raise ValueError(
                    f'SpatialResponse.feature: what "{self._source}" takes is not '
                    f'{"the map" if connected else "the mean of the map"} of "{self._feature}": '
                    f'set {KEY}.source and .feature to the modules right behind and before the '
                    'pooling.'
                )
        if connected:
            return None
        self._map = None
        widened = self._widen(given, local_features(feature), feature)
        return (with_last(inputs[0], widened), *inputs[1:])

    @uncompiled
    def _widen_connected(self, module: nn.Module, inputs: Tuple, outputs: Tensor) -> Any:
        """Behind a layer over the whole map: append u_ij, which its output is the mean of."""
        if self._check is not None:
            self._check.enter()
        if not self._recording or self._map is None:
            return None
        feature, self._map = self._map, None
        local = connected_features(module, feature)
        return self._widen(outputs, local.to(outputs.dtype), feature)

    def _widen(self, pooled: Tensor, local: Tensor, feature: Tensor) -> Tensor:
        n, _, height, width = feature.shape
        self._grid = (n, height, width)
        if self._tail_is_module:
            self._local = local
            return pooled
        widened = torch.cat([pooled.flatten(1), local]).reshape(-1, *pooled.shape[1:])
        if not self._checked:
            self._widened = widened.clone()  # a module may change its input in place
        return widened

    @uncompiled
    def _compare_input(self, module: nn.Module, inputs: Tuple) -> None:
        """Once: whether the tail is this one module, so that it takes what the pooling gave."""
        if not self._recording or self._widened is None:
            return
        given, widened, self._widened = last_of(inputs[:1]), self._widened.flatten(1), None
        self._tail_is_module = (
            isinstance(given, Tensor)
            and given.shape[:1] == widened.shape[:1]
            and torch.equal(given.flatten(1), widened)
        )

    @uncompiled
    def _split(self, module: nn.Module, inputs: Tuple, outputs: Any) -> Optional[Tensor]:
        """Take the local responses off the batch and leave the model its own logits."""
        if self._check is not None:
            self._check.leave(outputs)
        if not self._recording or self._grid is None:
            return None
        n, height, width = self._grid
        self._grid = None
        rows = n * (1 + height * width)
        if self._local is not None:
            local = self._local.reshape(-1, *last_of(inputs[:1]).shape[1:])
            self._local = None
            spatial = module.forward(with_last(inputs[0], local), *inputs[1:])
            self._keep(spatial, outputs, (n, height, width))
            return None
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[0] != rows:
            raise ValueError(
                f'SpatialResponse.logits: "{self._logits}" returned {shape_of(outputs)}, expected '
                f'class logits of shape ({rows}, C) for {n} images on a {height}×{width} grid: '
                f'name the module whose output is the logits with {KEY}.logits.'
            )
        self._keep(outputs[n:], outputs[:n], (n, height, width))
        return outputs[:n]

    def _keep(self, local: Tensor, whole: Tensor, grid: Tuple[int, int, int]) -> None:
        self.data_buffer.append((local.unflatten(0, grid).permute(0, 3, 1, 2), whole))

    @uncompiled
    def _check_logits(self, model: nn.Module, args: Tuple, kwargs: dict, outputs: Any) -> Any:
        """Once: the widened pass must have left the logits what they are without it."""
        if not self._recording or self._checked or not self.data_buffer:
            return outputs
        whole = self.data_buffer[-1][1]
        check = self._check = TailCheck()
        # Every batch is recorded in the same way, so that bits do not depend on which came first.
        self._recording = self._tail_is_module
        try:
            # Not by its hooks: those before it have prepared the images already.
            own = model.forward(*args, **kwargs)
        finally:
            self._recording, self._check = True, None
            check.close()
        check.compare(whole, check.logits if self._logits else own, self._source, self._logits)
        self._checked = True
        if not self._tail_is_module:
            return outputs
        del self.data_buffer[-2]
        return own

    def _forget(self) -> None:
        self._grid = self._map = self._widened = self._local = None

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
