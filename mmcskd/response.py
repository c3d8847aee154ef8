"""What a loss may ask of a teacher about one batch, whether a network answers or a bank."""

from abc import ABC, abstractmethod
from typing import Any, Optional, Tuple, Union, cast

import torch
from torch import Tensor

from .method import fuse, pool

Grid = Tuple[int, int]
MAPPINGS = 'distiller.loss_forward_mappings'


class TeacherResponse(ABC):
    """A teacher's answer to N images over C classes, whose fusion weight the loss chooses."""

    num_images: int
    """N."""
    num_classes: int
    """C."""
    grid: Optional[Grid]
    """(H, W) of the teacher's own feature map; None where only its global response is known."""
    device: torch.device
    """Where classes and targets lie."""

    @abstractmethod
    def on(self, grid: Grid) -> 'TeacherResponse':
        """The same answer on the grid on which student and teacher are compared.

        Args:
            grid (tuple[int, int]): (H, W), which the methods below then have.
        """

    @abstractmethod
    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax_C of the fused response t, (N, H, W), int64.

        Args:
            fusion_weight (float): λ in [0, 1].
        """

    @abstractmethod
    def fused_target(self, fusion_weight: float, temperature: float) -> Tensor:
        """The fused response t, (N, C, H, W).

        Args:
            fusion_weight (float): λ in [0, 1].
            temperature (float): T of the loss. What is not known class by class takes the logits
                that are right at this temperature.
        """

    @abstractmethod
    def global_classes(self) -> Tensor:
        """argmax_C of the global response g, (N,), int64."""

    @abstractmethod
    def global_target(self, temperature: float) -> Tensor:
        """The global response g, (N, C).

        Args:
            temperature (float): As of :meth:`fused_target`.
        """


class TensorResponse(TeacherResponse):
    """The answer of a teacher that runs: two tensors.

    Args:
        spatial_response (Tensor, optional): d (N, C, H, W); None where no loss asks for it.
        global_response (Tensor): g (N, C).
    """

    def __init__(self, spatial_response: Optional[Tensor], global_response: Tensor) -> None:
        self.spatial_response = spatial_response
        self.global_response = global_response
        self.num_images, self.num_classes = global_response.shape
        self.device = global_response.device
        self.grid = None if spatial_response is None else _grid_of(spatial_response)

    def on(self, grid: Grid) -> 'TensorResponse':
        """Pooled to a grid, adaptively where the sides do not divide."""
        return TensorResponse(pool(self._spatial_response(), grid), self.global_response)

    @torch.no_grad()
    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax_C of λ·d + (1 − λ)·g."""
        return self.fused_target(fusion_weight).argmax(dim=1)

    @torch.no_grad()
    def fused_target(self, fusion_weight: float, temperature: float = 1.0) -> Tensor:
        """λ·d + (1 − λ)·g, at every temperature."""
        return fuse(self._spatial_response(), self.global_response, fusion_weight)

    def global_classes(self) -> Tensor:
        """argmax_C of g."""
        return self.global_response.argmax(dim=1)

    def global_target(self, temperature: float = 1.0) -> Tensor:
        """g, at every temperature."""
        return self.global_response.detach()

    def _spatial_response(self) -> Tensor:
        # Who asks for it has met a grid, and there is one only with the tensor.
        return cast(Tensor, self.spatial_response)


def as_response(
    loss: str,
    spatial_response: Union[Tensor, TeacherResponse, None],
    global_response: Union[Tensor, TeacherResponse],
) -> TeacherResponse:
    """A teacher's answer out of what a distiller hands to a loss.

    Args:
        loss (str): Name of the loss, for messages.
        spatial_response (Tensor | TeacherResponse | None): d (N, C, H, W), the whole answer, or
            None for a loss that asks for the global response alone.
        global_response (Tensor | TeacherResponse): g (N, C), or the whole answer.

    Raises:
        TypeError: If one of them is anything else.
        ValueError: If images or classes of the two differ in number.
    """
    if isinstance(global_response, TeacherResponse):
        return global_response
    d = None if spatial_response is None else _tensor(loss, 'spatial', spatial_response, 4)
    g = _tensor(loss, 'global', global_response, 2)
    if d is not None and d.shape[:2] != g.shape:
        raise ValueError(
            f"{loss}: the teacher's spatial response is {what_is(d)} and its global response "
            f'{what_is(g)}, expected (N, C, H, W) and (N, C): check {MAPPINGS}.'
        )
    return TensorResponse(d, g)


def check_pair(loss: str, student: Any, teacher: TeacherResponse, grid: Tuple[int, ...]) -> None:
    """Refuse a student's response that is not comparable with the teacher's.

    Args:
        loss (str): Name of the loss, for messages.
        student (Any): Expected is a tensor (N, C, *grid).
        teacher (TeacherResponse): The teacher's answer.
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


def _tensor(loss: str, name: str, given: Any, sides: int) -> Tensor:
    if isinstance(given, Tensor) and given.dim() == sides:
        return given
    raise TypeError(
        f"{loss}: the teacher's {name} response is {what_is(given)}, expected a tensor with "
        f'{sides} dimensions: check data_idx in {MAPPINGS}.'
    )


def _grid_of(response: Tensor) -> Grid:
    return response.shape[-2], response.shape[-1]
