import copy
from inspect import signature
from typing import Dict, List, Optional, Union

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.algorithms.base import LossResults
from mmrazor.registry import MODELS
from torch import Tensor, nn

from .checks.config_check import check_distiller, check_keys, check_part
from .checks.suggest import nearest
from .checks.typed import typed
from .losses.response_loss import ResponseLoss
from .runs.keyed_views import drawing_aside
from .runs.weights import digest, load_weights
from .teacher.convolution_layout import to_channels_last
from .teacher.folded_norms import fold_norms
from .teacher.spatial_response_recorder import SpatialResponseRecorder
from .teacher.teacher_view import fit_view


@MODELS.register_module()
class FrozenTeacherDistill(SingleTeacherDistill):
    """MMRazor's ``SingleTeacherDistill`` for a teacher that only ever answers.

    What differs from the stock algorithm:

    - The teacher is no part of the model's state: checkpoints, the optimizer, EMA and
      DistributedDataParallel see the student alone. It is rebuilt from its config and weights.
    - It runs in ``mode='tensor'``, in evaluation mode, without gradients and, unless it cannot, in
      channels-last layout: no loss is computed that nobody uses, dropout is off, and any labels serve. Where all
      losses are this package's it runs in inference mode; others may save its records.
    - Its batch norms are folded into its convolutions on the first batch, checked by the output,
      unless it was built by the caller or something but its responses is recorded.
    - Its weights are loaded completely or refused; a random teacher needs ``random_teacher=True``.
    - It sees the batch under its own normalisation, channel order and resolution, if they differ.
    - Losses are logged by their own names; the student's ``loss`` becomes ``loss_base``. Logged
      beside them is the ``agreement``: the share of locations at which the student's class is the
      fused response's.
    - Records are dropped after each step.

    Args:
        architecture (dict | BaseModel): The student.
        teacher (dict | BaseModel): The teacher, as a config or built. A built one is taken as it
            is unless ``teacher_ckpt`` is given.
        distiller (dict): As in the stock algorithm.
        teacher_ckpt (str, optional): File or URL of the teacher's weights. Defaults to None.
        random_teacher (bool): Accept a teacher config without weights. Defaults to False.
        teacher_view (dict, optional): How the teacher wants its images, any of ``mean``, ``std``,
            ``to_rgb`` and ``size``. Defaults to None: as its own ``data_preprocessor`` says, which
            a teacher from a stock config brings along; otherwise as the student.
        bank (dict, optional): ``path`` of a bank of responses made with
            ``tools/bank_responses.py``, which then stand in for the teacher, ``cycle``, whether to
            use its epochs again where they end, and ``top_k``, how many classes of each response it
            keeps for soft targets, approximately. Defaults to None: the teacher answers.
        compile (dict, optional): What of ``teacher`` and ``student`` to compile, each with True or
            the arguments of ``torch.compile``. Their backbones are compiled, in place, so the names
            of the weights stay. Defaults to None: nothing.
        data_preprocessor (dict | nn.Module, optional): Of student and teacher alike. Defaults to
            None: the student's.
        init_cfg (dict, optional): Of the student. Defaults to None.

    Raises:
        ValueError: If the teacher has no or unreadable weights, if the classes of teacher and
            student differ in number, if the distiller asks for deliveries, or if there is nothing
            by the name to compile.
    """

    @typed
    def __init__(
        self,
        architecture: Union[BaseModel, Dict],
        teacher: Union[BaseModel, Dict],
        distiller: dict,
        teacher_ckpt: Optional[str] = None,
        random_teacher: bool = False,
        teacher_view: Optional[dict] = None,
        bank: Optional[dict] = None,
        compile: Optional[dict] = None,
        data_preprocessor: Optional[Union[Dict, nn.Module]] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        check_distiller(distiller)
        if bank is not None:
            reader = dict(type='mmrazor.read_bank', bank=bank, distiller=distiller)
            teacher, distiller = MODELS.build(reader)
            teacher_ckpt = None
        elif teacher_ckpt is None and isinstance(teacher, dict) and not random_teacher:
            raise ValueError(
                'The teacher has no weights and would teach noise: set model.teacher_ckpt to a '
                'checkpoint file or URL, or model.random_teacher=True if noise is what you want.'
            )
        if isinstance(data_preprocessor, dict):
            check_part(data_preprocessor, MODELS, 'model.data_preprocessor')
        own_teacher = isinstance(teacher, dict)
        if own_teacher:
            # The student starts from the same weights whatever the teacher, or with a bank.
            with drawing_aside():
                teacher = MODELS.build(teacher)
        super().__init__(
            distiller=distiller,
            teacher=teacher,
            teacher_module_inplace=True,
            architecture=architecture,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self._own_teacher = own_teacher
        if self.distiller.deliveries.deliveries:
            raise ValueError(
                'model.distiller.distill_deliveries need the stock algorithm: set model.type to '
                '"SingleTeacherDistill".'
            )
        _check_classes(self.student, teacher)
        if teacher_ckpt is not None:
            load_weights(teacher, teacher_ckpt)
        if bank is None:
            fit_view(teacher, self.data_preprocessor, teacher_view)
        # A plain attribute: what is no submodule is in no state dict, optimizer, EMA or DDP.
        self.__dict__['teacher'] = self._modules.pop('teacher').eval()
        self.teacher.requires_grad_(False)
        MMLogger.get_current_instance().info(
            f'No teacher but its responses in the bank {bank["path"]}.'
            if bank is not None
            else f'Teacher {type(teacher).__name__} with weights {digest(teacher)} from '
            f'{teacher_ckpt or ("random numbers" if random_teacher else "the caller")}.'
        )
        self._compile = _check_compile(compile or {})
        # Of a teacher that computes, unknown until the first batch.
        self._layout = None if bank is None else torch.contiguous_format
        _compile(self.student, self._compile.get('student', False))

    def loss(
        self, batch_inputs: Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> LossResults:
        """Losses of one batch: image → teacher → responses; image → student → tokens → losses.

        Args:
            batch_inputs (Tensor): (N, 3, height, width), preprocessed.
            data_samples (list[BaseDataElement], optional): The labels, for the student.

        Returns:
            dict[str, Tensor]: ``loss_base``, the distiller's losses and the agreement.
        """
        distiller = self.distiller
        if not self.distillation_stopped:
            self.respond(batch_inputs)
        with distiller.student_recorders:
            student_losses = self.student(batch_inputs, data_samples, mode='loss')
        losses = {'loss_base' if k == 'loss' else k: v for k, v in student_losses.items()}
        if not self.distillation_stopped:
            losses.update(distiller.compute_distill_losses())
            losses.update(self._agreements())
        for manager in (distiller.teacher_recorders, distiller.student_recorders):
            for recorder in manager.recorders.values():
                recorder.reset_data_buffer()
        return losses

    def respond(self, batch_inputs: Tensor) -> None:
        """Let the teacher answer, for its recorders to hear.

        Args:
            batch_inputs (Tensor): (N, 3, height, width), preprocessed for the student.
        """
        if self._layout is None:
            self._prepare_teacher(batch_inputs)
        with self.distiller.teacher_recorders, self._ungraded():
            images = batch_inputs.contiguous(memory_format=self._layout)
            self.teacher(images, mode='tensor')

    def _prepare_teacher(self, batch_inputs: Tensor) -> None:
        """On the first batch, which shows what feeds what: lay out, fold norms, compile."""
        self._layout = to_channels_last(self.teacher, batch_inputs[:2])
        images = batch_inputs[:2].contiguous(memory_format=self._layout)
        recorders = self.distiller.teacher_recorders.recorders.values()
        # Other recorders may look at what folding changes; a built teacher belongs to the caller.
        if self._own_teacher and all(isinstance(r, SpatialResponseRecorder) for r in recorders):
            folded = fold_norms(self.teacher, images)
            MMLogger.get_current_instance().info(f'Folded {folded} batch norms of the teacher.')
        _compile(self.teacher, self._compile.get('teacher', False))

    def _ungraded(self):
        """Inference mode, whose records a loss must not save for its backward pass."""
        losses = self.distiller.distill_losses.values()
        if all(isinstance(loss, ResponseLoss) for loss in losses):
            return torch.inference_mode()
        return torch.no_grad()

    def _agreements(self) -> LossResults:
        """``agreement`` of the CSKD loss, with the loss's name behind it if there are several."""
        found = {
            name: loss.agreement
            for name, loss in self.distiller.distill_losses.items()
            if getattr(loss, 'agreement', None) is not None
        }
        if len(found) == 1:
            return {'agreement': next(iter(found.values()))}
        return {f'agreement_{name.replace("loss_", "")}': share for name, share in found.items()}

    def train(self, mode: bool = True) -> 'FrozenTeacherDistill':
        """Set the student's mode; the teacher stays in evaluation mode."""
        nn.Module.train(self, mode)
        return self

    def _apply(self, fn, *args, **kwargs):
        """Move and cast the teacher along with the student."""
        super()._apply(fn, *args, **kwargs)
        if 'teacher' in self.__dict__:
            self.teacher._apply(fn, *args, **kwargs)
        return self

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacherDistill':
        """A copy of the student; all copies, such as EMA's, share the one frozen teacher."""
        memo[id(self.teacher)] = self.teacher
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


def _check_classes(student: nn.Module, teacher: nn.Module) -> None:
    taught, teaches = _num_classes(student), _num_classes(teacher)
    if None not in (taught, teaches) and taught != teaches:
        raise ValueError(
            f'The student has {taught} classes and the teacher {teaches}: set '
            'model.architecture.head.num_classes and model.teacher.head.num_classes to the same '
            'number.'
        )


def _num_classes(model: nn.Module) -> Optional[int]:
    """The number of classes a model says it has; the losses check those that do not say."""
    for part in (getattr(model, 'head', None), getattr(model, 'model', None)):
        if isinstance(getattr(part, 'num_classes', None), int):
            return part.num_classes
    return None


def _check_compile(wanted: Dict[str, Union[bool, dict]]) -> Dict[str, Union[bool, dict]]:
    parts = ('teacher', 'student')
    for name, options in wanted.items():
        if name not in parts:
            raise ValueError(f'model.compile has no key "{name}". ' + nearest(name, parts))
        if not isinstance(options, (bool, dict)):
            raise ValueError(
                f'model.compile.{name} is {options!r}, expected True, False or the arguments of '
                'torch.compile.'
            )
        if isinstance(options, dict):
            check_keys(options, signature(torch.compile).parameters, f'model.compile.{name}')
        if options is not False and not hasattr(nn.Module, 'compile'):
            raise ValueError(
                f'model.compile.{name} needs torch >= 2.2 but runs on {torch.__version__}: leave '
                'it out.'
            )
    return wanted


def _compile(model: nn.Module, options: Union[bool, dict]) -> None:
    if options is not False:
        getattr(model, 'backbone', model).compile(**({} if options is True else options))
