import math
from typing import Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..checks.model_check import model_channels
from ..checks.sizes import check_most


class TeacherView(nn.Module):
    """Convert a batch from the student's normalisation, channel order and size to the teacher's.

    One multiplication and one addition a channel undo the student's normalisation and apply the
    teacher's. This commutes with mixing images: a batch after mixup or cutmix comes out as if it
    had been mixed under the teacher's normalisation. Where the two agree, the batch is returned as
    it is.

    Args:
        student (tuple): Mean and standard deviation of the student's channels in 0 … 255, and
            whether they are in RGB order.
        teacher (tuple): The same of the teacher.
        size (int | tuple[int, int], optional): Height and width of the teacher's images. Defaults
            to None: the student's.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, student: Tuple, teacher: Tuple, size: Union[int, Sequence[int], None] = None
    ) -> None:
        super().__init__()
        (mean, std, rgb), (own_mean, own_std, own_rgb) = student, teacher
        # As in ClsDataPreprocessor, images of other than three channels have no order.
        self.flip = rgb != own_rgb and max(len(mean), len(own_mean)) in (1, 3)
        if self.flip:
            mean, std = mean[::-1], std[::-1]
        mean, std, own_mean, own_std = (
            torch.tensor(values, dtype=torch.float64) for values in (mean, std, own_mean, own_std)
        )
        scale, shift = std / own_std, (mean - own_mean) / own_std
        self.equal = bool(
            torch.allclose(scale, torch.ones_like(scale), rtol=0, atol=1e-6)
        ) and bool(torch.allclose(shift, torch.zeros_like(shift), rtol=0, atol=1e-6))
        self.register_buffer('scale', scale.float().view(-1, 1, 1), persistent=False)
        self.register_buffer('shift', shift.float().view(-1, 1, 1), persistent=False)
        self.size = None if size is None else _pair(size)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """The teacher's version of a batch.

        Args:
            inputs (Tensor): (N, 3, height, width), normalised for the student.

        Returns:
            Tensor: (N, 3, height', width'), normalised for the teacher.
        """
        if self.flip:
            inputs = inputs.flip(1)
        if not self.equal:
            if self.scale.device != inputs.device:
                self.to(inputs.device)  # once: a copy in each step would block the host
            inputs = torch.addcmul(self.shift.to(inputs), inputs, self.scale.to(inputs))
        if self.size is not None and self.size != tuple(inputs.shape[-2:]):
            inputs = F.interpolate(
                inputs, self.size, mode='bicubic', align_corners=False, antialias=True
            )
        return inputs


def fit_view(teacher: nn.Module, preprocessor: nn.Module, config: Optional[dict] = None) -> None:
    """Give a teacher a pre-hook that converts each batch by :class:`TeacherView`.

    Args:
        teacher (nn.Module): Called with the batch as first argument or as ``inputs``.
        preprocessor (nn.Module): MMPretrain's ``ClsDataPreprocessor`` that normalised the batch.
        config (dict, optional): Any of ``mean`` and ``std`` (channels in 0 … 255), ``to_rgb``
            (bool) and ``size`` (height and width). What is not given comes from the teacher's own
            ``data_preprocessor`` if that normalises, as in a stock config by ``cfg_path``; else
            from the ``pretrained_cfg`` of a model of timm, which is in RGB order; else from
            ``preprocessor``. Defaults to None.

    Raises:
        ValueError: For an unknown key or a value of a wrong form.
    """
    config = dict(config or {})
    student = _normalisation(preprocessor)
    own = getattr(teacher, 'data_preprocessor', None)
    mean, std, rgb = _normalisation(own) if hasattr(own, 'mean') else student
    timm = None if hasattr(own, 'mean') else _timm_normalisation(teacher)
    if timm is not None and hasattr(preprocessor, 'mean'):
        # What it says of colours is no word about grey images.
        mean, std, rgb = timm if len(mean) == len(timm[0]) else student
    elif timm is not None and not {'mean', 'std'} <= set(config):
        MMLogger.get_current_instance().warning(
            f"The teacher's pretrained_cfg asks for mean {timm[0]} and std {timm[1]}, but the "
            'data_preprocessor does not normalise: set them there, or in model.teacher_view.'
        )
    source = 'data_preprocessor'
    if hasattr(own, 'mean'):
        source = 'model.teacher.data_preprocessor'
    given = {
        key: f'{"model.teacher_view" if key in config else source}.{key}' for key in ('mean', 'std')
    }
    channels, by = len(student[0]), 'data_preprocessor.mean'
    if channels == 1:  # one number, or none, for images of any channels
        channels, by = model_channels(teacher) or 1, 'model.teacher'
    mean = _channels(given['mean'], config.pop('mean', mean), channels, by)
    std = _channels(given['std'], config.pop('std', std), max(channels, len(mean)), by)
    rgb = config.pop('to_rgb', rgb)
    size = config.pop('size', None)
    if not isinstance(rgb, bool):
        raise ValueError(f'model.teacher_view.to_rgb is {rgb!r}, expected True or False.')
    if min(std) <= 0:
        raise ValueError(f'{given["std"]} is {std}, expected numbers > 0.')
    if config:
        raise ValueError(
            f'model.teacher_view has no key "{next(iter(config))}": give mean, std, to_rgb, size.'
        )
    view = TeacherView(student, (mean, std, rgb), size)
    if view.equal and not view.flip and view.size is None:
        return

    def look(module, args, kwargs):
        if args:
            return (view(args[0]), *args[1:]), kwargs
        return args, {**kwargs, 'inputs': view(kwargs['inputs'])}

    teacher.register_forward_pre_hook(look, with_kwargs=True)


def _normalisation(preprocessor: Optional[nn.Module]) -> Tuple[list, list, bool]:
    # The name in MMPretrain; in MMEngine and MMDetection; in MMSegmentation.
    names = ('to_rgb', '_channel_conversion', 'channel_conversion')
    rgb = any(bool(getattr(preprocessor, name, False)) for name in names)
    if not hasattr(preprocessor, 'mean'):
        return [0.0], [1.0], rgb  # broadcast to every channel
    mean, std = (
        getattr(preprocessor, name).double().flatten().tolist() for name in ('mean', 'std')
    )
    return mean, std, rgb


def _timm_normalisation(teacher: nn.Module) -> Optional[Tuple[list, list, bool]]:
    """What a model of timm says of its images, which it takes in 0 … 1 and in RGB order."""
    # Of MMPretrain's TimmClassifier and TIMMBackbone.
    backbone = getattr(teacher, 'backbone', None)
    for model in (getattr(teacher, 'model', None), getattr(backbone, 'timm_model', None)):
        says = getattr(model, 'pretrained_cfg', None) or {}
        if says.get('mean') and says.get('std'):
            mean, std = ([value * 255 for value in says[name]] for name in ('mean', 'std'))
            return mean, std, True
    return None


def _channels(key: str, values: Sequence[float], channels: int, by: str) -> list:
    """One number, or one a channel."""
    try:
        values = [float(value) for value in values]
    except (TypeError, ValueError):
        values = []
    if not all(map(math.isfinite, values)):
        raise ValueError(f'{key} is {values}, expected finite numbers.')
    if not values or 1 < channels != len(values) > 1:
        wanted = 'one number a channel, or one for all'
        also = f': {channels} by {by}' if channels > 1 else ''
        raise ValueError(f'{key} needs {wanted}{also}.')
    return values


def _pair(size) -> Tuple[int, int]:
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(f'model.teacher_view.size is {size!r}, expected (height, width).')
    check_most('size', size, 'model.teacher_view.size')
    return sides
