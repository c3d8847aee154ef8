import io
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.structures import BaseDataElement
from mmrazor.registry import HOOKS
from torch import Tensor, nn

from .atomic_file import AtomicBackend
from .wrapped_model import own_weights, unwrapped


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop the run at the iteration in which a loss becomes NaN or infinite.

    The error names the losses, the iteration, other logged values of it, such as the learning rate,
    and the source: the batch, a watched module or the weights. Before it is raised, the batch as
    the model got it, losses and weights (with shards those of this process) are written to
    ``nonfinite_iter_N_rankR.pth`` in the work directory, which ``weights_only`` can load.

    A model may have a method ``watched_modules()`` that returns a dictionary of names and modules.
    Their outputs are checked like losses, for example those of a frozen teacher, whose NaN an
    argmax hides.

    On the CPU the losses are checked before the backward pass, so the weights are still those of
    the forward pass. On CUDA the host does not wait: a flag for each loss is copied asynchronously
    and read when it has arrived, after the same iteration or at the latest after the next one. By
    then an optimizer without a gradient scaler may have taken the bad step; a scaler skips it. No
    checkpoint is written in both cases: before each save all pending flags are read and all
    weights, also those of an ``EMAHook``'s average, are checked.

    In a distributed run the process that finds it ends with the error. The others cannot finish
    their next gradient exchange and are ended by the launcher, so no process takes a further step
    on the CPU.

    Steps that a gradient scaler skips are no error; their number is logged as ``skipped_steps``.
    Steps that a fused optimizer skips are not counted.

    Raises:
        FloatingPointError: If a loss, an output of a watched module or, at a save, a weight is NaN
            or infinite.
    """

    # After other hooks: an EMAHook puts the average into the checkpoint.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._pending: deque = deque()
        self._answers: Dict[str, Tensor] = {}
        self._handles: list = []
        self._steps = self._seen = self.skipped = 0

    def before_train(self, runner) -> None:
        """Watch the model's losses and the optimizer's steps."""
        self._runner, model = runner, unwrapped(runner)
        self._before = dict(_scalars(runner))
        self._handles = [model.register_forward_hook(self._look, with_kwargs=True)]
        for name, module in getattr(model, 'watched_modules', dict)().items():
            self._handles.append(module.register_forward_hook(partial(self._listen, name)))
        self.skipped = runner.message_hub.get_info('skipped_steps', 0)
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        self._scaled = scaler is not None and scaler.is_enabled()
        if self._scaled:
            optimizer = runner.optim_wrapper.optimizer
            self._handles.append(optimizer.register_step_post_hook(self._count))

    def after_train(self, runner) -> None:
        """Read the last flags and release the model."""
        self._read(wait=0)
        for handle in self._handles:
            handle.remove()

    def _count(self, *_) -> None:
        self._steps += 1

    def _listen(self, name: str, module: nn.Module, args: tuple, outputs) -> None:
        flags = [torch.isfinite(part).all() for part in _tensors(outputs)]
        if flags:
            self._answers[name] = torch.stack(flags).all()

    def _look(self, module: nn.Module, args: tuple, kwargs: dict, outputs) -> None:
        answers, self._answers = self._answers, {}
        if not isinstance(outputs, dict) or kwargs.get('mode') != 'loss':
            return
        losses = {
            name: torch.stack([part.detach().mean() for part in _tensors(loss)]).sum()
            for name, loss in outputs.items()
            if 'loss' in name
        }
        if not losses:
            return
        runner = self._runner
        record = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch,
            logged={
                name: float(runner.message_hub.get_scalar(f'train/{name}').current())
                for name, count in _scalars(runner)
                if count != self._before.get(name)
            },
            losses=losses,
            batch={**dict(zip(('inputs', 'data_samples'), args)), **kwargs},
        )
        flags = {name: torch.isfinite(loss) for name, loss in losses.items()}
        flags.update(answers)
        finite, arrived = torch.stack(list(flags.values())), None
        if finite.is_cuda:
            host = torch.empty(finite.shape, dtype=torch.bool, pin_memory=True)
            finite = host.copy_(finite, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._pending.append((record, list(flags), finite, arrived))
        if arrived is None:
            self._read(wait=0)

    def _read(self, wait: int) -> None:
        """Check the flags that have arrived; wait for all but the newest ``wait`` of them."""
        while self._pending:
            record, names, finite, arrived = self._pending[0]
            if arrived is not None:
                if len(self._pending) > wait:
                    arrived.synchronize()
                elif not arrived.query():
                    return
            self._pending.popleft()
            bad = [name for name, flag in zip(names, finite.tolist()) if not flag]
            if bad:
                self._pending.clear()
                self._stop(record, bad)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Check the flags that have arrived, and count a skipped step."""
        # The flag of this iteration may be pending; the one before was queued an iteration ago.
        self._read(wait=1)
        if self._scaled and runner.optim_wrapper.should_update():
            self.skipped += self._steps == self._seen
            self._seen = self._steps
            runner.message_hub.update_info('skipped_steps', self.skipped)
            runner.message_hub.update_scalar('train/skipped_steps', self.skipped)
        self._before = dict(_scalars(runner))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read all flags and check all weights before a save."""
        self._read(wait=0)
        # An EMAHook has swapped the two.
        averaged = 'ema_state_dict' in checkpoint
        for part in ('ema_state_dict', 'state_dict'):
            what = 'the average' if averaged and part == 'state_dict' else 'the model'
            for name, value in checkpoint.get(part, {}).items():
                if not torch.isfinite(value).all():
                    raise FloatingPointError(
                        f'"{name}" of {what} is not finite after iteration {runner.iter}: no '
                        'checkpoint is written. The last good one is still there; resume from it '
                        'with a lower learning rate or without float16.'
                    )

    def _stop(self, record: Dict[str, Any], bad: List[str]) -> None:
        runner, weights = self._runner, own_weights(unwrapped(self._runner))
        bad_weights = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        if not all(torch.isfinite(part).all() for part in _tensors(record['batch'])):
            origin = 'the batch itself is not finite'
        elif bad[-1] not in record['losses']:
            origin = f'it began with {bad[-1]}, check the weights and the precision behind it'
        elif bad_weights:
            origin = f'the weights are not finite, the first is "{bad_weights[0]}"'
        else:
            origin = 'batch and weights are finite, so it arose in the model or the loss'
        logged = ''.join(f', {name} {value}' for name, value in record['logged'].items())
        message = (
            f'{" and ".join(bad)} {"is" if len(bad) == 1 else "are"} not finite at iteration '
            f'{record["iteration"]} (epoch {record["epoch"] + 1}, rank {runner.rank}{logged}): '
            f'{origin}.'
        )
        path = Path(runner.work_dir) / f'nonfinite_iter_{record["iteration"]}_rank{runner.rank}.pth'
        try:
            with io.BytesIO() as file:
                torch.save(_plain(dict(record, origin=origin, state_dict=weights)), file)
                AtomicBackend().put(file.getvalue(), path)
            message += f' Batch, losses and weights are in {path}.'
        except OSError as error:
            message += f' {path} could not be written ({error}).'
        runner.logger.error(message)
        raise FloatingPointError(message)


def _scalars(runner) -> Iterator[Tuple[str, int]]:
    """Name of each logged scalar of the training, and how often it was logged."""
    for name, history in runner.message_hub.log_scalars.items():
        if name.startswith('train/') and not name.endswith('time'):
            yield name[len('train/') :], len(history.data[0])


def _tensors(part: Any) -> List[Tensor]:
    if isinstance(part, (dict, BaseDataElement)):
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        return [each for inner in part for each in _tensors(inner)]
    return [part] if isinstance(part, Tensor) else []


def _plain(part: Any) -> Any:
    """The parts that ``weights_only`` loads: containers, numbers, text, tensors on the CPU."""
    if isinstance(part, (dict, BaseDataElement)):
        return {str(key): _plain(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(each) for each in part]
    if isinstance(part, Tensor):
        return part.detach().cpu()
    return part if isinstance(part, (int, float, str)) else None
