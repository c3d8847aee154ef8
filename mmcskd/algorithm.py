import copy
from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.algorithms.base import LossResults
from mmrazor.registry import MODELS
from torch import Tensor, nn

from .checks.distiller_check import check_distiller, sourceless
from .checks.model_check import check_augments, check_channels, check_classes, check_compile
from .checks.part import check_part
from .checks.typed import typed
from .loaded_teacher import build_teacher
from .losses.response_loss import ResponseLoss
from .runs.weights import digest
from .student.feature_connector import FeatureConnector
from .student.stock_model import named_model
from .teacher.convolution_layout import to_channels_last
from .teacher.folded_norms import fold_norms
from .teacher.spatial_response_recorder import SpatialResponseRecorder
from .teacher.teacher_view import fit_view


@MODELS.register_module()
class FrozenTeacherDistill(SingleTeacherDistill):
    """MMRazor's ``SingleTeacherDistill`` for a frozen teacher.

    Differences from the stock algorithm:

    - The teacher is no part of the model's state: checkpoints, the optimizer, EMA and
      DistributedDataParallel see the student alone. It is rebuilt from its config and weights,
      which are loaded completely or refused.
    - The teacher runs in ``mode='tensor'``, in evaluation mode and without gradients, under its own
      normalisation, channel order and resolution, in channels-last layout if it can, and in
      inference mode if all losses are this package's (another loss may save its records).
    - The first batch folds its batch norms into its convolutions and checks the output; not if the
      caller built it, or if anything but its responses is recorded.
    - Losses are logged by their own names; the student's ``loss`` becomes ``loss_base``. The
      ``agreement`` is logged too: the share of locations at which the student's class is that of
      the fused response.

    Args:
        architecture (dict | BaseModel): The student.
        teacher (dict | BaseModel): The teacher, as a config or built. A built one keeps its weights
            unless ``teacher_ckpt`` is given.
        distiller (dict): As in the stock algorithm.
        teacher_ckpt (str, optional): File or URL of the teacher's weights. Defaults to None: a
            ``TimmClassifier`` or ``HuggingFaceClassifier`` with ``pretrained=True`` brings them.
        random_teacher (bool): Accept a teacher config without weights. Defaults to False.
        teacher_view (dict, optional): Normalisation and size of the teacher's images, any of
            ``mean``, ``std``, ``to_rgb`` and ``size``. Defaults to None: those of its own
            ``data_preprocessor``, which a stock config has; else those of timm's
            ``pretrained_cfg``; else the student's.
        bank (dict, optional): A bank of responses of ``tools/bank_responses.py`` in place of a
            running teacher: its ``path``; ``cycle``, whether to use its epochs again where they
            end; ``top_k``, how many classes of each response it keeps for approximate soft targets.
            Defaults to None: the teacher runs.
        compile (dict, optional): ``teacher`` and ``student``, each with True or the arguments of
            ``torch.compile``, compiles their backbones in place; the names of the weights stay.
            Defaults to None: nothing.
        data_preprocessor (dict | nn.Module, optional): For student and teacher. Defaults to None:
            the student's.
        init_cfg (dict, optional): For the student. Defaults to None.

    Raises:
        ValueError: If the teacher has no or unreadable weights, if the classes of teacher and
            student differ in number, if the distiller has deliveries, if the student has batch
            augmentations that ``data_preprocessor`` would not do, or if ``compile`` has another
            key.
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
        if distiller.get('distill_deliveries'):
            raise ValueError(
                'model.distiller.distill_deliveries need the stock algorithm: set model.type to '
                '"SingleTeacherDistill".'
            )
        if isinstance(data_preprocessor, dict):
            check_part(data_preprocessor, MODELS, 'model.data_preprocessor')
        check_augments(architecture, data_preprocessor)
        check_compile(compile or {})
        if bank is not None:
            # By name: this module does not import the bank.
            reader = dict(type='mmrazor.read_bank', bank=bank, distiller=distiller)
            teacher, distiller = MODELS.build(reader)
            teacher_ckpt = None
        own_teacher = isinstance(teacher, dict)
        if isinstance(architecture, dict):
            architecture = named_model(architecture, 'model.architecture')
        teacher, origin = build_teacher(teacher, teacher_ckpt, random_teacher)
        try:
            super().__init__(
                distiller=distiller,
                teacher=teacher.requires_grad_(False),
                teacher_module_inplace=True,
                architecture=architecture,
                data_preprocessor=data_preprocessor,
                init_cfg=init_cfg,
            )
        except AssertionError as error:
            raise sourceless(error, distiller) from error
        # No submodule: not in the state dict, the optimizer, EMA or DDP.
        self.__dict__['teacher'] = self._modules.pop('teacher')
        check_classes(self.student, self.teacher)
        for connector in self.distiller.connectors.values():
            if isinstance(connector, FeatureConnector):
                connector.connect(self.student, self.teacher)
        models = {'model.architecture': self.student, 'model.teacher': self.teacher}
        check_channels(self.data_preprocessor, models)
        if bank is None:
            fit_view(self.teacher, self.data_preprocessor, teacher_view)
        # Of a bank its own content, for the path may be another.
        weights = digest(self.teacher) if bank is None else self.teacher.content
        self._depends_on = {'model.teacher_ckpt': weights, 'model.compile': None}
        if bank is not None:
            self._depends_on['model.bank.path'] = None
        kind = type(self.teacher).__name__
        MMLogger.get_current_instance().info(
            f'Teacher {kind} with weights {weights} from {origin}.'
            if bank is None
            else f'No teacher but its responses in the bank {bank["path"]}.'
        )
        self._own_teacher = own_teacher
        self._compile = compile or {}
        self._layout = torch.contiguous_format
        self._prepared = bank is not None  # a bank needs no preparation
        _compile(self.student, self._compile.get('student', False))

    def loss(
        self, batch_inputs: Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> LossResults:
        """Losses of one batch: images → teacher → responses; images → student → tokens → losses.

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
        """Run the teacher under its recorders, on (N, 3, height, width) as for the student."""
        if not self._prepared:
            self._prepare_teacher(batch_inputs)
        # A loss of another package may save a record for its backward pass.
        losses = self.distiller.distill_losses.values()
        own = all(isinstance(loss, ResponseLoss) for loss in losses)
        with self.distiller.teacher_recorders, torch.inference_mode() if own else torch.no_grad():
            images = batch_inputs.contiguous(memory_format=self._layout)
            self.teacher(images, mode='tensor')

    def watched_modules(self) -> Dict[str, nn.Module]:
        """What ``FiniteLossHook`` checks beside the losses: hard labels hide a teacher's NaN."""
        return {"the teacher's answer (model.teacher_ckpt)": self.teacher}

    def depends_on(self) -> Dict[str, Any]:
        """What the weights of a run depend on, for ``ExactResumeHook``: the teacher's by content.

        A bank stands for the teacher of which it was made. Compilation changes the speed.
        """
        return self._depends_on

    def _prepare_teacher(self, batch_inputs: Tensor) -> None:
        """Choose the layout, fold norms and compile, on the first batch."""
        self._layout = to_channels_last(self.teacher, batch_inputs[:2])
        images = batch_inputs[:2].contiguous(memory_format=self._layout)
        recorders = self.distiller.teacher_recorders.recorders.values()
        # Folding changes what other recorders may read; a built teacher is the caller's.
        if self._own_teacher and all(isinstance(r, SpatialResponseRecorder) for r in recorders):
            folded = fold_norms(self.teacher, images)
            MMLogger.get_current_instance().info(f'Folded {folded} batch norms of the teacher.')
        _compile(self.teacher, self._compile.get('teacher', False))
        self._prepared = True

    def _agreements(self) -> LossResults:
        """``agreement`` of the losses that have one, by their names if there are several."""
        losses = self.distiller.distill_losses.items()
        shares = {name: getattr(loss, 'agreement', None) for name, loss in losses}
        shares = {name: share for name, share in shares.items() if share is not None}
        if len(shares) == 1:
            return {'agreement': next(iter(shares.values()))}
        return {f'agreement_{name.replace("loss_", "")}': share for name, share in shares.items()}

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


def _compile(model: nn.Module, options: Union[bool, dict]) -> None:
    if options is not False:
        getattr(model, 'backbone', model).compile(**({} if options is True else options))
