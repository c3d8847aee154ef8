"""What a loss may ask of a teacher about one batch; the teacher is a network or a bank."""

from abc import ABC, abstractmethod
from typing import Any, Tuple

import torch
from torch import Tensor

from .method import fuse, pool

Grid = Tuple[int, int]
MAPPINGS = 'distiller.loss_forward_mappings'


class TeacherResponse(ABC):
    """A teacher's response to N images over C classes, for any fusion weight."""

    num_images: int
    """N."""
    num_classes: int
    """C."""
    grid: Grid
    """(H, W) of the teacher's own feature map; (1, 1) where only its global response is known."""
    device: torch.device
    """Device of classes and targets."""

    @abstractmethod
    def on(self, grid: Grid) -> 'TeacherResponse':
        """The same response on the grid (H, W) of the comparison, for the methods below."""

    @abstractmethod
    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax_C of the fused response t at λ in [0, 1]: (N, H, W), int64."""

    @abstractmethod
    def fused_target(self, fusion_weight: float, temperature: float) -> Tensor:
        """The fused response t at λ in [0, 1]: (N, C, H, W).

        Args:
            fusion_weight (float): λ.
            temperature (float): T of the loss. Logits that are known only as a sum over classes
                depend on it.
        """

    @abstractmethod
    def global_classes(self) -> Tensor:
        """argmax_C of the global response g, (N,), int64."""

    @abstractmethod
    def global_target(self, temperature: float) -> Tensor:
        """The global response g, (N, C); the temperature as in :meth:`fused_target`."""


class TensorResponse(TeacherResponse):
    """The response of a running teacher: two tensors.

    Args:
        spatial_response (Tensor): d (N, C, H, W).
        global_response (Tensor): g (N, C).
    """

    def __init__(self, spatial_response: Tensor, global_response: Tensor) -> None:
        self.spatial_response = spatial_response
        self.global_response = global_response
        self.num_images, self.num_classes = global_response.shape
        self.device = global_response.device
        self.grid = spatial_response.shape[2], spatial_response.shape[3]

    def on(self, grid: Grid) -> 'TensorResponse':
        return TensorResponse(pool(self.spatial_response, grid), self.global_response)

    @torch.no_grad()
    def fused_classes(self, fusion_weight: float) -> Tensor:
        return self.fused_target(fusion_weight).argmax(dim=1)

    @torch.no_grad()
    def fused_target(self, fusion_weight: float, temperature: float = 1.0) -> Tensor:
        return fuse(self.spatial_response, self.global_response, fusion_weight)

    def global_classes(self) -> Tensor:
        return self.global_response.argmax(dim=1)

    def global_target(self, temperature: float = 1.0) -> Tensor:
        return self.global_response.detach()


def as_response(loss: str, spatial_response: Any, global_response: Any) -> TeacherResponse:
    """The teacher's response, from the arguments that a distiller gives to a loss.

    Args:
        loss (str): Name of the loss, for messages.
        spatial_response (Tensor | TeacherResponse | None): d (N, C, H, W), the whole response, or
            None for a loss that uses the global response alone.
        global_response (Tensor | TeacherResponse): g (N, C), or the whole response.

    Raises:
        TypeError: If one of them is anything else.
        ValueError: If the two differ in the number of images or classes.
    """
    if isinstance(global_response, TeacherResponse):
        return global_response
    if isinstance(global_response, Tensor) and spatial_response is None:
        spatial_response = global_response[..., None, None]
    for name, given, sides in (('global', global_response, 2), ('spatial', spatial_response, 4)):
        if not isinstance(given, Tensor) or given.dim() != sides:
            raise TypeError(
                f"{loss}: the teacher's {name} response is {what_is(given)}, expected a tensor "
                f'with {sides} dimensions: check data_idx in {MAPPINGS}.'
            )
    if spatial_response.shape[:2] != global_response.shape:
        raise ValueError(
            f"{loss}: the teacher's spatial response is {what_is(spatial_response)} and its global "
            f'response {what_is(global_response)}, expected (N, C, H, W) and (N, C): check '
            f'{MAPPINGS}.'
        )
    return TensorResponse(spatial_response, global_response)


def check_pair(loss: str, student: Any, teacher: TeacherResponse, grid: Tuple[int, ...]) -> None:
    """Refuse a student's response that is not comparable with the teacher's.

    Args:
        loss (str): Name of the loss, for messages.
        student (Any): A tensor (N, C, *grid) is expected.
        teacher (TeacherResponse): The teacher's response.
        grid (tuple[int, ...]): (H, W), or () for logits of whole images.

    Raises:
        TypeError: If it is no tensor with classes.
        ValueError: If classes, device or shape differ.
    """
    if not isinstance(student, Tensor) or student.dim() < 2:
        raise TypeError(
            f'{loss} got {what_is(student)}, expected a tensor (N, C, …): check connector and '
            f'data_idx in {MAPPINGS}.'
        )
    if student.shape[1] != teacher.num_classes:
        raise ValueError(
            f'{loss}: the student has {student.shape[1]} classes and the teacher '
            f'{teacher.num_classes}: set model.architecture.head.num_classes and '
            'model.teacher.head.num_classes to the same number.'
        )
    if student.device != teacher.device:
        raise ValueError(
            f'{loss}: the student answers on {student.device} and the teacher on '
            f'{teacher.device}: let the algorithm move both, with model.teacher as a config or a '
            'module that is given to it.'
        )
    expected = (teacher.num_images, teacher.num_classes, *grid)
    if tuple(student.shape) != expected:
        raise ValueError(
            f'{loss}: the student responds with {what_is(student)} and the teacher with '
            f'{expected}: check {MAPPINGS} and PatchTokenConnector.grid.'
        )


def what_is(response: Any) -> str:
    """A response in words, for messages."""
    if isinstance(response, Tensor):
        return f'a tensor {tuple(response.shape)}'
    return f'a {type(response).__name__}'
