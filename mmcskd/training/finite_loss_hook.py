from collections import deque
from pathlib import Path
from typing import Dict, NamedTuple, Optional

import torch
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmrazor.registry import HOOKS
from torch import Tensor, nn

from ..checkpoints.atomic_file import AtomicBackend
from .student_fsdp_strategy import is_sharded
from .wrapped_model import unwrapped


class Record(NamedTuple):
    """The losses of one forward pass and what gave rise to them."""

    iteration: int
    losses: Dict[str, Tensor]
    finite: Tensor  # one flag a loss, one of the teacher, on their way to the host
    arrived: Optional[torch.cuda.Event]
    inputs: Optional[Tensor]
    samples: Optional[list]


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop the run at the iteration in which a loss becomes NaN or infinite.

    So it does where a response of the teacher is, which hard labels would hide: the argmax of NaN
    is some class. The error names the losses, the iteration, the fusion weight and, where it can be told, the
    culprit: the batch, the teacher or the student's weights. Before it is raised, all that helps
    to look into it goes to ``nonfinite_iter_N_rankR.pth`` in the work directory: the batch as the
    models saw it, labels, losses and the student's weights, this process's shards where it lies in
    shards, safe to load with ``weights_only``.

    On the CPU the losses are checked before the backward pass, so the weights are still those that
    gave them. On CUDA nothing waits for the device: a flag for each loss is copied beside the
    computation and read when it has arrived, after the same iteration or at the latest after the
    next one. By then an optimizer without a gradient scaler may have taken the bad step; with one
    it skips it. Either way no checkpoint is written: before each save all pending flags are read
    and all weights are checked.

    In a distributed run the process that finds it ends with the error; the others cannot finish
    their next gradient exchange without it and are ended by the launcher, so no process takes a
    further step on the CPU.

    Steps that a gradient scaler skips are no error; their number is logged as ``skipped_steps``.
    A fused optimizer skips by itself and is not counted.

    Raises:
        FloatingPointError: If a loss, or at a save a weight, is NaN or infinite.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._pending: deque = deque()
        self._answer: Optional[Tensor] = None
        self._handles = []
        self._steps = self._seen = self.skipped = 0

    def before_train(self, runner) -> None:
        """Watch the model's losses and the optimizer's steps.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._runner = runner
        self._handles = [unwrapped(runner).register_forward_hook(self._look, with_kwargs=True)]
        teacher = getattr(unwrapped(runner), 'teacher', None)
        if isinstance(teacher, nn.Module) and hasattr(unwrapped(runner), 'distiller'):
            self._handles.append(teacher.register_forward_hook(self._listen))
        self.skipped = runner.message_hub.get_info('skipped_steps', 0)
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        self._scaled = scaler is not None and scaler.is_enabled()
        if self._scaled:
            optimizer = runner.optim_wrapper.optimizer
            self._handles.append(optimizer.register_step_post_hook(self._count))

    def after_train(self, runner) -> None:
        """Read the last flags and let go of the model.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._read(wait=0)
        for handle in self._handles:
            handle.remove()

    def _count(self, *_) -> None:
        self._steps += 1

    def _listen(self, *_) -> None:
        """After the teacher's forward pass, while its responses are on record."""
        records = _teacher_records(unwrapped(self._runner))
        flags = [torch.isfinite(part).all() for parts in records.values() for part in parts]
        self._answer = torch.stack(flags).all() if flags else None

    def _look(self, module: nn.Module, args: tuple, kwargs: dict, outputs) -> None:
        if not isinstance(outputs, dict) or kwargs.get('mode') != 'loss':
            return
        losses = {
            name: torch.stack([part.detach().mean() for part in loss]).sum()
            if isinstance(loss, (list, tuple))
            else loss.detach()
            for name, loss in outputs.items()
            if 'loss' in name
        }
        if not losses:
            return
        flags = [torch.isfinite(loss).all() for loss in losses.values()]
        if self._answer is not None:
            flags.append(self._answer)
            self._answer = None
        finite = torch.stack(flags)
        arrived = None
        if finite.is_cuda:
            host = torch.empty(finite.shape, dtype=torch.bool, pin_memory=True)
            finite = host.copy_(finite, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        inputs, samples = (
            kwargs.get(name, args[place] if len(args) > place else None)
            for place, name in enumerate(('inputs', 'data_samples'))
        )
        self._pending.append(
            Record(self._runner.iter + 1, losses, finite, arrived, inputs, samples)
        )
        if arrived is None:
            self._read(wait=0)

    def _read(self, wait: int) -> None:
        """Check the flags that are here; wait for all but the newest ``wait`` of them."""
        while self._pending:
            record = self._pending[0]
            if record.arrived is not None:
                if len(self._pending) > wait:
                    record.arrived.synchronize()
                elif not record.arrived.query():
                    return
            self._pending.popleft()
            if not record.finite.all():
                self._pending.clear()
                self._stop(record)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Check what has arrived, and count a skipped step.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): The index of the current batch in the train loop.
            data_batch (dict | tuple | list, optional): Data from the dataloader.
            outputs (dict, optional): Of the model.
        """
        # This iteration's flag may still be under way; the one before was queued an iteration ago.
        self._read(wait=1)
        if self._scaled and runner.optim_wrapper.should_update():
            self.skipped += self._steps == self._seen
            self._seen = self._steps
            runner.message_hub.update_info('skipped_steps', self.skipped)
            runner.message_hub.update_scalar('train/skipped_steps', self.skipped)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to save weights that are no numbers.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be written.
        """
        self._read(wait=0)
        for part in ('state_dict', 'ema_state_dict'):
            for name, value in checkpoint.get(part, {}).items():
                if not torch.isfinite(value).all():
                    raise FloatingPointError(
                        f'"{name}" of {part} is not finite after iteration {runner.iter}: no '
                        'checkpoint is written. The last good one is still there; resume from it '
                        'with a lower learning rate or without float16.'
                    )

    def _stop(self, record: Record) -> None:
        runner = self._runner
        model = unwrapped(runner)
        names = [*record.losses, "the teacher's response"]
        bad = [name for name, ok in zip(names, record.finite.tolist()) if not ok]
        scalars = runner.message_hub.log_scalars
        weight = scalars.get('train/fusion_weight')
        weight = None if weight is None else float(weight.current())
        culprit = _culprit(model, record.inputs)
        path = Path(runner.work_dir) / f'nonfinite_iter_{record.iteration}_rank{runner.rank}.pth'
        evidence = dict(
            iteration=record.iteration,
            epoch=runner.epoch,
            fusion_weight=weight,
            culprit=culprit,
            losses={name: loss.cpu() for name, loss in record.losses.items()},
            inputs=None if record.inputs is None else record.inputs.cpu(),
            labels=_labels(record.samples),
            state_dict={name: value.cpu() for name, value in _weights(model).items()},
        )
        message = (
            f'{" and ".join(bad)} {"is" if len(bad) == 1 else "are"} not finite at iteration '
            f'{record.iteration} (epoch {runner.epoch + 1}, rank {runner.rank}, fusion weight '
            f'{weight}): {culprit}.'
        )
        try:
            _save(evidence, path)
            message += f' Batch, losses and weights are in {path}.'
        except OSError as error:
            message += f' {path} could not be written ({error}).'
        runner.logger.error(message)
        raise FloatingPointError(message)


def _save(content: dict, path: Path) -> None:
    import io

    with io.BytesIO() as file:
        torch.save(content, file)
        AtomicBackend().put(file.getvalue(), path)


def _labels(samples) -> Optional[list]:
    """Class indices, or scores where labels were mixed."""
    found = []
    for sample in samples or []:
        label = sample.get('gt_score', sample.get('gt_label'))
        found.append(None if label is None else label.detach().cpu())
    return found


def _culprit(model: nn.Module, inputs: Optional[Tensor]) -> str:
    """Where the first non-finite number comes from."""
    if inputs is not None and not torch.isfinite(inputs).all():
        return 'the batch itself is not finite'
    weights = [name for name, value in _weights(model).items() if not _finite(value)]
    if weights:
        return f'the student\'s weights are not finite, the first is "{weights[0]}"'
    teacher = getattr(model, 'teacher', None)
    if teacher is not None and inputs is not None:
        recorders = model.distiller.teacher_recorders
        with recorders, torch.no_grad():
            teacher(inputs, mode='tensor')
        records = _teacher_records(model)
        for recorder in recorders.recorders.values():
            recorder.reset_data_buffer()
        for name, parts in records.items():
            if not all(map(_finite, parts)):
                return (
                    f'the teacher\'s responses (recorder "{name}") are not finite, check '
                    'model.teacher_ckpt and the precision it runs in'
                )
    return 'batch, teacher and weights are finite, so it arose in the student or the loss'


def _weights(model: nn.Module) -> Dict[str, Tensor]:
    """The student's; of one in shards those of this process, as no other would help to gather."""
    if not is_sharded(model):
        return model.state_dict()
    parts = (*model.named_parameters(), *model.named_buffers())
    return {name.replace('_fsdp_wrapped_module.', ''): value.detach() for name, value in parts}


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _teacher_records(model: nn.Module) -> Dict[str, list]:
    """The tensors that each recorder of the teacher holds."""
    found = {}
    for name, recorder in model.distiller.teacher_recorders.recorders.items():
        parts = []
        for record in recorder.data_buffer:
            parts += [record] if isinstance(record, Tensor) else record
        found[name] = [part for part in parts if isinstance(part, Tensor)]
    return found
