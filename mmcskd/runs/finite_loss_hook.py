import io
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from mmrazor.registry import HOOKS
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from .atomic_file import AtomicBackend
from .wrapped_model import own_weights, unwrapped


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop the run at the iteration in which a loss becomes NaN or infinite.

    The error names the losses, the iteration, what else was logged last, such as the learning rate,
    and the source: the batch, a watched module or the weights. The batch as the model got it, the
    losses and the weights (with shards those of this process) are written to
    ``nonfinite_iter_N_rankR.pth`` in the work directory, which ``weights_only`` can load. A model
    may have ``watched_modules()``, a dictionary of names and modules whose outputs are checked like
    losses, for example those of a frozen teacher, whose NaN an argmax hides.

    On the CPU the losses are checked before the backward pass. On CUDA the host does not wait: the
    flags are copied asynchronously and read in the next iteration. By then an optimizer without a
    gradient scaler has taken the bad step; a scaler skips it. Before each save the flags are read
    and all weights are checked, also those of an ``EMAHook``'s average. In a distributed run the
    process that finds it ends with the error; the launcher ends the others, which cannot finish
    their next gradient exchange.

    Raises:
        FloatingPointError: If a loss, an output of a watched module or, at a save, a weight is NaN
            or infinite.
    """

    # After other hooks: an EMAHook puts the average into the checkpoint.
    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Watch the model's losses."""
        self._runner, model = runner, unwrapped(runner)
        self._pending: Optional[tuple] = None
        self._answers: Dict[str, Tensor] = {}
        self._handles = [model.register_forward_hook(self._look, with_kwargs=True)]
        for name, module in getattr(model, 'watched_modules', dict)().items():
            self._handles.append(module.register_forward_hook(partial(self._listen, name)))

    def after_train(self, runner) -> None:
        """Read the last flags and release the model."""
        self._read()
        for handle in self._handles:
            handle.remove()

    def _listen(self, name: str, module: nn.Module, args: tuple, outputs) -> None:
        flags = [torch.isfinite(part).all() for part in _tensors(outputs)]
        if flags:
            self._answers[name] = torch.stack(flags).all()

    def _look(self, module: nn.Module, args: tuple, kwargs: dict, outputs) -> None:
        answers, self._answers = self._answers, {}
        if not isinstance(outputs, dict) or kwargs.get('mode') != 'loss':
            return
        self._read()
        losses = {
            name: torch.stack([part.detach().mean() for part in _tensors(loss)]).sum()
            for name, loss in outputs.items()
            if 'loss' in name
        }
        if not losses:
            return
        flags = {**{name: torch.isfinite(loss) for name, loss in losses.items()}, **answers}
        runner = self._runner
        scalars = ((n[len('train/') :], v) for n, v in runner.message_hub.log_scalars.items())
        stale = ('time', 'loss', *outputs)  # of the iteration before
        record = dict(
            iteration=runner.iter + 1,
            epoch=runner.epoch,
            logged={n: float(v.current()) for n, v in scalars if not n.endswith(stale)},
            losses=losses,
            batch={**dict(zip(('inputs', 'data_samples'), args)), **kwargs},
        )
        finite, arrived = torch.stack(list(flags.values())), None
        if finite.is_cuda:
            host = torch.empty(finite.shape, dtype=torch.bool, pin_memory=True)
            finite, arrived = host.copy_(finite, non_blocking=True), torch.cuda.Event()
            arrived.record()
        self._pending = record, list(flags), finite, arrived
        if arrived is None:
            self._read()

    def _read(self) -> None:
        if self._pending is None:
            return
        (record, names, finite, arrived), self._pending = self._pending, None
        if arrived is not None:
            arrived.synchronize()
        bad = [name for name, flag in zip(names, finite.tolist()) if not flag]
        if bad:
            self._stop(record, bad)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the flags and check all weights before a save."""
        self._read()
        for part in ('ema_state_dict', 'state_dict'):
            # An EMAHook has swapped the two.
            averaged = part == 'state_dict' and 'ema_state_dict' in checkpoint
            for name, value in checkpoint.get(part, {}).items():
                if not torch.isfinite(value).all():
                    raise FloatingPointError(
                        f'"{name}" of {"the average" if averaged else "the model"} is not finite '
                        f'after iteration {runner.iter}: no checkpoint is written. The last good '
                        'one is still there; resume from it with a lower learning rate or without '
                        'float16.'
                    )

    def _stop(self, record: Dict[str, Any], bad: List[str]) -> None:
        runner, weights = self._runner, own_weights(unwrapped(self._runner))
        bad_weights = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        batch = _plain(record['batch'])
        if not all(torch.isfinite(part).all() for part in _tensors(batch)):
            origin = 'the batch itself is not finite'
        elif bad[-1] not in record['losses']:
            origin = f'it began with {bad[-1]}, check the weights and the precision behind it'
        elif bad_weights:
            origin = f'the weights are not finite, the first is "{bad_weights[0]}"'
        else:
            origin = 'batch and weights are finite, so it arose in the model or the loss'
        logged = ''.join(f', {name} {value}' for name, value in record['logged'].items())
        which = f'{" and ".join(bad)} {"is" if len(bad) == 1 else "are"}'
        number = record['iteration']
        place = f'(epoch {record["epoch"] + 1}, rank {runner.rank}{logged})'
        message = f'{which} not finite at iteration {number} {place}: {origin}.'
        path = Path(runner.work_dir) / f'nonfinite_iter_{number}_rank{runner.rank}.pth'
        try:
            with io.BytesIO() as file:
                record.update(batch=batch, origin=origin, state_dict=weights)
                torch.save(_plain(record), file)
                AtomicBackend().put(file.getvalue(), path)
            message += f' Batch, losses and weights are in {path}.'
        except OSError as error:
            message += f' {path} could not be written ({error}).'
        runner.logger.error(message)
        raise FloatingPointError(message)


def _tensors(part: Any) -> List[Tensor]:
    return [each for each in tree_flatten(part)[0] if isinstance(each, Tensor)]


def _plain(part: Any) -> Any:
    """The parts that ``weights_only`` loads: containers, numbers, text, tensors on the CPU."""
    if isinstance(part, (dict, BaseDataElement)):
        return {str(key): _plain(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_plain(each) for each in part]
    if isinstance(part, Tensor):
        return part.detach().cpu()
    return part if isinstance(part, (int, float, str)) else None
