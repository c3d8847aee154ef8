from typing import Optional, Tuple

import torch
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from ..checks.typed import typed

KEY = 'distiller.student_recorders.<name>'


@TASK_UTILS.register_module()
class IgnoredRegionRecorder(BaseRecorder):
    """Record which pixels of a batch the student's annotations ignore.

    - Segmentation: pixels with the label ``ignore_index``, padding included.
    - Detection: padding, and pixels within ignored boxes, such as COCO's crowds.

    A record is a tensor (N, 1, height, width) of bool, True where ignored, for
    :class:`~mmcskd.DenseCSKDLoss`.

    Args:
        ignore_index (int, optional): The label of ignored pixels. Defaults to None: that of the
            student's ``decode_head``, or 255.

    Raises:
        ValueError: From the forward pass if the batch has no annotations, or label maps of another
            size than its images.

    Examples:
        >>> student_recorders = dict(ignored=dict(type='IgnoredRegion'))
    """

    @typed
    def __init__(self, ignore_index: Optional[int] = None) -> None:
        super().__init__('')  # the model itself
        self.ignore_index = ignore_index
        self._recording = False

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the student's input.

        Args:
            model (nn.Module): The student.
        """
        if model is None:
            raise ValueError('IgnoredRegionRecorder needs the student it records from.')
        if self.ignore_index is None:
            head = getattr(model, 'decode_head', None)
            self.ignore_index = getattr(head, 'ignore_index', 255)
        model.register_forward_pre_hook(self._look, with_kwargs=True)

    @torch.no_grad()
    def _look(self, model: nn.Module, args: Tuple, kwargs: dict) -> None:
        if not self._recording:
            return
        inputs = args[0] if args else kwargs['inputs']
        samples = args[1] if len(args) > 1 else kwargs.get('data_samples')
        if not samples:
            raise ValueError(
                'IgnoredRegion needs the annotations of the batch: it is a recorder of the '
                f'student, under {KEY}.'
            )
        size = tuple(inputs.shape[-2:])
        masks = [self._of_labels(s, size) if 'gt_sem_seg' in s else _of_boxes(s, inputs)
                 for s in samples]  # fmt: skip
        self._data_buffer = [torch.stack([mask.reshape(1, *size) for mask in masks])]

    def _of_labels(self, sample, size: Tuple[int, int]) -> Tensor:
        labels = sample.gt_sem_seg.data
        if tuple(labels.shape[-2:]) != size:
            raise ValueError(
                f'IgnoredRegion: a label map is {tuple(labels.shape[-2:])} and its image {size}: '
                'both must be resized, cropped and padded alike by train_pipeline and '
                'data_preprocessor.'
            )
        return labels == self.ignore_index

    def __enter__(self) -> None:
        """Start to record; what was recorded before is dropped."""
        super().__enter__()
        self._recording = True

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        """Stop recording."""
        super().__exit__(exc_type, exc_value, traceback)
        self._recording = False


def _of_boxes(sample, inputs: Tensor) -> Tensor:
    """Pixels of the padding or within an ignored box."""
    ignored = torch.ones(inputs.shape[-2:], dtype=torch.bool, device=inputs.device)
    height, width = sample.metainfo.get('img_shape', inputs.shape[-2:])[:2]
    ignored[:height, :width] = False
    boxes = getattr(sample.get('ignored_instances', None), 'bboxes', ())
    for left, top, right, bottom in getattr(boxes, 'tensor', boxes):
        rows = slice(max(int(top.floor()), 0), max(int(bottom.ceil()), 0))
        ignored[rows, max(int(left.floor()), 0) : max(int(right.ceil()), 0)] = True
    return ignored
