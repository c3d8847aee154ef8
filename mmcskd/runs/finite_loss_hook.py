from collections import deque
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Union

import torch
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmrazor.registry import HOOKS
from torch import Tensor, nn

from .atomic_file import AtomicBackend
from .nonfinite_culprit import culprit, labels, teacher_records, weights
from .wrapped_model import unwrapped


class Record(NamedTuple):
    """The losses of one forward pass and what gave rise to them."""

    iteration: int
    epoch: int
    fusion_weight: Union[None, float, list]  # of the loss; a list where several losses differ
    losses: Dict[str, Tensor]
    finite: Tensor  # one flag a loss, one of the teacher, on their way to the host
    arrived: Optional[torch.cuda.Event]
    inputs: Optional[Tensor]
    samples: Optional[list]


class FiniteWeights(Hook):
    """Refuse to save weights that are no numbers, the student's or those of its average.

    Not to be configured: the :class:`~mmcskd.FiniteLossHook` adds it behind all others, as an
    ``EMAHook`` puts the average into a checkpoint only when others have seen it.
    """

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look at all weights.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be written.
        """
        # An EMAHook has the two change places.
        averaged = 'ema_state_dict' in checkpoint
        for part in ('ema_state_dict', 'state_dict'):
            what = 'the average' if averaged and part == 'state_dict' else 'the student'
            for name, value in checkpoint.get(part, {}).items():
                if not torch.isfinite(value).all():
                    raise FloatingPointError(
                        f'"{name}" of {what} is not finite after iteration {runner.iter}: no '
                        'checkpoint is written. The last good one is still there; resume from it '
                        'with a lower learning rate or without float16.'
                    )


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop the run at the iteration in which a loss becomes NaN or infinite.

    So it does where a response of the teacher is, which hard labels would hide: the argmax of NaN
    is some class. The error names the losses, the iteration, the fusion weight and, where it can be
    told, the culprit: the batch, the teacher or the student's weights. Before it is raised, all
    that helps to look into it goes to ``nonfinite_iter_N_rankR.pth`` in the work directory: the
    batch as the models saw it, labels, losses and the student's weights, this process's shards
    where it lies in shards, safe to load with ``weights_only``.

    On the CPU the losses are checked before the backward pass, so the weights are still those that
    gave them. On CUDA nothing waits for the device: a flag for each loss is copied beside the
    computation and read when it has arrived, after the same iteration or at the latest after the
    next one. By then an optimizer without a gradient scaler may have taken the bad step; with one
    it skips it. Either way no checkpoint is written: before each save all pending flags are read
    and all weights, and those of the average, are checked.

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

    def before_run(self, runner) -> None:
        """Let the weights be looked at when all other hooks have added to a checkpoint.

        Args:
            runner (Runner): The runner of the training process.
        """
        if not any(isinstance(hook, FiniteWeights) for hook in runner.hooks):
            runner.register_hook(FiniteWeights(), priority='LOWEST')

    def before_train(self, runner) -> None:
        """Watch the model's losses and the optimizer's steps.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._runner = runner
        self._steered = [m for m in unwrapped(runner).modules() if hasattr(m, 'set_fusion_weight')]
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
        records = teacher_records(unwrapped(self._runner))
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
        steered = [loss.fusion_weight for loss in self._steered]
        self._pending.append(
            Record(
                iteration=self._runner.iter + 1,
                epoch=self._runner.epoch,
                fusion_weight=steered if len(set(steered)) > 1 else next(iter(steered), None),
                losses=losses,
                finite=finite,
                arrived=arrived,
                inputs=inputs,
                samples=samples,
            )
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
        """Read all flags before anything is saved; weights follow, see :class:`FiniteWeights`.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be written.
        """
        self._read(wait=0)

    def _stop(self, record: Record) -> None:
        runner = self._runner
        model = unwrapped(runner)
        names = [*record.losses, "the teacher's response"]
        bad = [name for name, ok in zip(names, record.finite.tolist()) if not ok]
        origin = culprit(model, record.inputs)
        path = Path(runner.work_dir) / f'nonfinite_iter_{record.iteration}_rank{runner.rank}.pth'
        evidence = dict(
            iteration=record.iteration,
            epoch=record.epoch,
            fusion_weight=record.fusion_weight,
            culprit=origin,
            losses={name: loss.cpu() for name, loss in record.losses.items()},
            inputs=None if record.inputs is None else record.inputs.cpu(),
            labels=labels(record.samples),
            state_dict={name: value.cpu() for name, value in weights(model).items()},
        )
        message = (
            f'{" and ".join(bad)} {"is" if len(bad) == 1 else "are"} not finite at iteration '
            f'{record.iteration} (epoch {record.epoch + 1}, rank {runner.rank}, fusion weight '
            f'{record.fusion_weight}): {origin}.'
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
