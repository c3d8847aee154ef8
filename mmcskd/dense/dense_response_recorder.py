import weakref
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from ..checks.suggest import nearest
from ..checks.typed import typed

HEADS = ('decode_head', 'bbox_head', 'rpn_head')
ANCHORS = ('each', 'max')
KEY = 'distiller.<side>_recorders.<name>'


class DenseResponses(NamedTuple):
    """The class responses of a segmentor or detector at each location."""

    levels: Tuple[Tensor, ...]
    """Each (N, A, C, H, W): logits of the A anchors of a location; segmentors have A = 1."""
    strides: Optional[Tuple[Tuple[int, int], ...]]
    """(vertical, horizontal) of each level in pixels; None if the head does not say."""
    sigmoid: bool
    """Whether each class has a sigmoid, in place of a softmax over all."""
    patches: Optional[Tuple[int, int]] = None
    """(h, w), the grid of the backbone's patches; None if it has none."""


@TASK_UTILS.register_module()
class DenseResponseRecorder(BaseRecorder):
    """Record the class responses of a segmentor or detector, as teacher or as student.

    For a segmentor they are the per-pixel class logits of its decode head, for a detector the
    classification maps of its dense head at each level. They are recorded in the model's own
    forward pass, whether it calls the head or the head's ``forward``. Strides, anchors, number of
    classes and sigmoid or softmax come from attributes of the head.

    A record is a :class:`DenseResponses`.

    Only the RPN of a two-stage detector gives responses without proposals. Configure such a teacher
    as MMDetection's ``RPN``, which loads the weights of a Faster or Mask R-CNN.

    Args:
        source (str, optional): Name of the head, as in ``named_modules()``. Defaults to None: the
            model's ``decode_head``, ``bbox_head`` or ``rpn_head``.
        classes (list[int] | str, optional): The classes to keep, in this order, for a student
            with fewer or reordered classes; ``'any'`` makes one of all, an object of any class, as
            in an RPN (sigmoid heads only). Defaults to None: all.
        anchors (str): ``'each'``: anchors are compared one by one and must be the same on both
            sides; ``'max'``: for each class the largest logit over the anchors of a location
            (sigmoid heads only). Defaults to ``'each'``.

    Raises:
        ValueError: For unknown arguments; from :meth:`prepare_from_model` if there is no such head;
            from the forward pass if the head does not give class logits on a grid or did not run.

    Examples:
        >>> teacher_recorders = dict(response=dict(type='DenseResponse'))
        >>> dict(type='DenseResponse', source='auxiliary_head')
        >>> dict(type='DenseResponse', anchors='max')  # FCOS teaches RetinaNet
    """

    @typed
    def __init__(
        self,
        source: Optional[str] = None,
        classes: Union[int, Sequence[int], str, None] = None,
        anchors: str = 'each',
    ) -> None:
        super().__init__(source)
        self._source: Any = source
        if anchors not in ANCHORS:
            raise ValueError(
                f'DenseResponse.anchors: "{anchors}" is none of them. '
                + nearest(str(anchors), ANCHORS)
            )
        chosen: Any = [classes] if isinstance(classes, int) else classes
        if not (chosen in (None, 'any') or _are_indices(chosen)):
            raise ValueError(
                f'DenseResponse.classes is {classes!r}, expected a list of class indices or "any".'
            )
        self.classes: Any = list(chosen) if _are_indices(chosen) else chosen
        self.anchors = anchors
        self._head: Any = None
        self._shadowed: Any = None
        self._patches: Any = None
        self._two_stage = self._unannotated = False

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Find the head.

        Args:
            model (nn.Module): A segmentor or detector.
        """
        if model is None:
            raise ValueError('DenseResponseRecorder needs the model it records from.')
        modules = dict(model.named_modules())
        if self._source is None:
            self._source = next((name for name in HEADS if name in modules), None)
            if self._source is None:
                raise ValueError(
                    f'{type(model).__name__} has no {", ".join(HEADS[:-1])} or {HEADS[-1]}: name '
                    f'the head that gives its class logits with {KEY}.source (type '
                    '"DenseResponse").'
                )
        if self._source not in modules:
            raise ValueError(
                f'DenseResponse.source: "{self._source}" is not a module of '
                f'{type(model).__name__}. ' + nearest(self._source, modules)
            )
        head = modules[self._source]
        if isinstance(head, nn.ModuleList):
            raise ValueError(
                f'DenseResponse.source: "{self._source}" are {len(head)} heads: name one, as '
                f'"{self._source}.{len(head) - 1}", with {KEY}.source.'
            )
        if not hasattr(head, 'num_classes'):
            raise ValueError(
                f'DenseResponse.source: "{self._source}" is a {type(head).__name__} without '
                f'classes: name the head that gives the class logits with {KEY}.source.'
            )
        # A weak reference: a copy of the recorder, such as EMA's, must not copy the head.
        self._head = weakref.ref(head)
        self._two_stage = hasattr(model, 'roi_head')
        model.register_forward_pre_hook(self._begin, with_kwargs=True)
        embedding = getattr(getattr(model, 'backbone', None), 'patch_embed', None)
        if isinstance(embedding, nn.Module):
            embedding.register_forward_hook(self._note_patches)

    def _note_patches(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if isinstance(outputs, (tuple, list)) and len(outputs) > 1:
            self._patches = tuple(int(side) for side in outputs[1])

    def _begin(self, model: nn.Module, args: Tuple, kwargs: dict) -> None:
        self._unannotated = not (args[1:2] or kwargs.get('data_samples'))

    def _listen(self, *args, **kwargs) -> Any:
        """Replaces the head's ``forward`` while recording."""
        head = self._head()
        outputs = (self._shadowed or type(head).forward.__get__(head))(*args, **kwargs)
        # Of a head that runs twice in a pass, the last output.
        self._data_buffer = [self._read(head, outputs)]
        return outputs

    def _read(self, head: nn.Module, outputs: Any) -> DenseResponses:
        found = outputs if isinstance(outputs, Tensor) or not outputs else outputs[0]
        levels = [found] if isinstance(found, Tensor) else list(found or [])
        channels: Any = getattr(head, 'cls_out_channels', getattr(head, 'out_channels', None))
        fits = [
            isinstance(level, Tensor) and level.dim() == 4 and level.shape[1] % channels == 0
            for level in levels
            if channels
        ]
        if not fits or not all(fits):
            shapes = [tuple(getattr(level, 'shape', ())) for level in levels]
            raise ValueError(
                f'DenseResponse.source: "{self._source}" gave {shapes}, expected class logits (N, '
                f'A·{channels or "C"}, H, W) of each level: name the head that gives them with '
                f'{KEY}.source.'
            )
        generator = getattr(head, 'prior_generator', None)
        strides = getattr(generator, 'strides', None)
        if strides is not None and len(strides) != len(levels):
            raise ValueError(
                f'DenseResponse.source: "{self._source}" gave {len(levels)} levels for strides '
                f'{list(strides)}: model.neck and the head disagree.'
            )
        sigmoid = _is_sigmoid(head, channels)
        chosen = (self._choose(level.unflatten(1, (-1, channels)), sigmoid) for level in levels)
        if strides is not None:
            strides = tuple(
                (stride, stride) if isinstance(stride, int) else (stride[1], stride[0])
                for stride in strides
            )
        return DenseResponses(tuple(chosen), strides, sigmoid, self._patches)

    def _choose(self, level: Tensor, sigmoid: bool) -> Tensor:
        """(N, A, C, H, W) → the configured anchors and classes."""
        for key, wanted in (('classes', self.classes == 'any'), ('anchors', self.anchors == 'max')):
            if wanted and not sigmoid:
                raise ValueError(
                    f'DenseResponse.{key}={getattr(self, key)!r} is for sigmoid heads; '
                    f'"{self._source}" has a softmax over its classes: leave {KEY}.{key} out.'
                )
        if self.anchors == 'max':
            level = level.amax(dim=1, keepdim=True)
        if self.classes == 'any':
            return level.amax(dim=2, keepdim=True)
        if self.classes is not None:
            if max(self.classes) >= level.shape[2]:
                raise ValueError(
                    f'DenseResponse.classes asks for class {max(self.classes)}, but '
                    f'"{self._source}" has {level.shape[2]}: change {KEY}.classes.'
                )
            return level[:, :, self.classes]
        return level

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        head = self._head()
        # On the object, for `head.forward(x)` and `head(x)`, and only while recording, so that a
        # copy of the model does not have it.
        self._shadowed = head.__dict__.get('forward')
        head.forward = self._listen

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording.

        Raises:
            ValueError: If the model ran but the head did not, or if a two-stage teacher failed
                without proposals.
        """
        super().__exit__(exc_type, exc_value, traceback)
        head = self._head()
        if self._shadowed is None:
            del head.forward
        else:
            head.forward = self._shadowed
        self._shadowed = None
        no_proposals = self._two_stage and self._unannotated
        if no_proposals and isinstance(exc_value, (TypeError, AttributeError)):
            raise ValueError(
                'A two-stage detector gives no responses without proposals: as the teacher, '
                'configure its first stage alone, model.teacher.type="RPN" without roi_head, with '
                'the same model.teacher_ckpt.'
            ) from exc_value
        if exc_type is None and not self.data_buffer:
            raise ValueError(
                f'DenseResponse recorded nothing: the model did not run "{self._source}" '
                f'({KEY}.source).'
            )


def _is_sigmoid(head: nn.Module, channels: int) -> bool:
    """From an attribute of a detector's head or of a segmentor's loss."""
    if hasattr(head, 'use_sigmoid_cls'):
        return bool(head.use_sigmoid_cls)
    losses = getattr(head, 'loss_decode', None)
    first = losses[0] if isinstance(losses, nn.ModuleList) else losses
    return channels == 1 or bool(getattr(first, 'use_sigmoid', False))


def _are_indices(classes: Any) -> bool:
    return (
        isinstance(classes, (list, tuple))
        and len(classes) > 0
        and all(isinstance(index, int) and index >= 0 for index in classes)
    )


def describe(response: DenseResponses) -> List[str]:
    """Stride and size of each level, for messages.

    Args:
        response (DenseResponses): A record.

    Returns:
        list[str]: Such as ``'stride 8: 32×32'``.
    """
    strides = response.strides or [None] * len(response.levels)
    return [
        (f'stride {stride[0]}: ' if stride else '') + '×'.join(map(str, level.shape[-2:]))
        for stride, level in zip(strides, response.levels)
    ]
