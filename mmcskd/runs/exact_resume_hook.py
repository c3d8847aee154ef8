import hashlib
import random
import struct
from functools import partial, wraps
from typing import Optional, Sequence

import numpy as np
import torch
from mmengine.dist import gather_object, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop
from mmrazor.registry import HOOKS

from ..checks.typed import typed
from .data_position import Ahead, never_ends, skip
from .keyed_views import key_views
from .run_fingerprint import check_changes, run_fingerprint
from .starts import note_resume
from .validations import (
    DONE,
    OverdueValidation,
    check_hooks,
    decide_before_checkpoints,
    restore_stopping,
    stopping_state,
)
from .weights import check_complete
from .wrapped_model import is_sharded, unwrapped

# What MMEngine says of a resume, and this hook makes good.
UNTRUE = ('Resumed iteration number is not divisible', 'Advance dataloader')


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed run equal to the uninterrupted one.

    MMEngine's checkpoints have weights, optimizer, schedules, scaler and averages. This hook
    handles the rest:

    - Random numbers are keyed, not stored: before each iteration's forward pass the generators
      of Python, NumPy and torch are seeded from the run's seed, the rank and the iteration.
      Dropout, mixup and cutmix are then functions of the iteration. The random transforms of a
      view are functions of the seed, the epoch, the sample and its place in the epoch, for any
      number of data workers, see :func:`~mmcskd.runs.keyed_views.key_views`.
    - The order of the data follows the checkpoint's seed, even if the config sets none.
    - A run resumed in the middle of an epoch continues behind the last batch of the checkpoint; an
      iteration-based loop skips the batches before it without loading them.
    - Gradients under accumulation are part of every checkpoint, those of each process, so all
      processes must call ``runner.save_checkpoint``. With a student in shards they are not, and a
      warning says so.
    - A resumed run begins with the validation that its checkpoint precedes. So best checkpoints,
      ``ReduceOnPlateauLR`` and ``EarlyStoppingHook``, whose count is part of the checkpoint, go on
      as they would have. An ``EarlyStoppingHook`` is moved before the ``CheckpointHook``.
    - A hook of MMPretrain that has state elsewhere is refused before training. A hook of your own
      with state needs ``before_save_checkpoint`` and ``after_load_checkpoint``.
    - A checkpoint that does not fit is refused: one with other weights than the model's, which
      MMEngine would leave random, or of another global batch size, with which an iteration is
      another number of images. The number of processes may change.
    - What else the weights depend on is in the checkpoint, see
      :func:`~mmcskd.runs.run_fingerprint.run_fingerprint`: teacher, losses, schedules, length of
      the run, data. A resume with another value is refused, by key and both values.

    With a batch sampler that has no sampler, views have no keys: transforms in data workers then
    use the workers' own generators, which no checkpoint can store.

    Args:
        allowed_changes (Sequence[str]): Config keys that may have other values than in the run that
            is resumed, with all that is below them. The resumed run then is none that a single
            start could be: schedules of the optimizer go on as saved, all else is as the config
            says. Defaults to none.

    Raises:
        ValueError: On resume, if the checkpoint does not fit the run; before training, for a hook
            whose state no checkpoint has.
    """

    priority = 'VERY_HIGH'

    @typed
    def __init__(self, allowed_changes: Sequence[str] = ()) -> None:
        self.allowed_changes = tuple(allowed_changes)
        self.period: Optional[int] = None  # epochs after which all random numbers repeat
        self._gradients: Optional[list] = None
        self._resumed_gradients: Optional[list] = None

    def before_run(self, runner) -> None:
        """Refuse hooks that cannot resume; prepare for a validation that is overdue."""
        if isinstance(runner._train_loop, BaseLoop):
            check_hooks(runner)
            runner.logger.addFilter(lambda record: not record.getMessage().startswith(UNTRUE))
            decide_before_checkpoints(runner)
            if not any(isinstance(hook, OverdueValidation) for hook in runner.hooks):
                runner.register_hook(OverdueValidation(), 'LOWEST')

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse a checkpoint that does not fit; restore its seed and gradients."""
        if not runner._resume:
            return
        if is_sharded(runner.model):
            # All processes gather; the first one gets all weights.
            whole = runner.model.state_dict()
            if is_main_process():
                _check_weights(whole, checkpoint['state_dict'])
        else:
            _check_weights(unwrapped(runner).state_dict(), checkpoint['state_dict'])
        meta = checkpoint['meta']
        now, then = _global_batch(runner), meta.get('global_batch')
        if then is not None and now != then:
            raise ValueError(
                f'The checkpoint was trained with a total batch of {then}, this run has {now} '
                f'({get_world_size()} processes × train_dataloader.batch_size): an iteration '
                f'would be something else. Make the product {then}.'
            )
        check_changes(runner, meta.get('fingerprint'), self.allowed_changes)
        note_resume(runner, meta)
        sampler = runner.train_dataloader.sampler
        own = getattr(sampler, 'seed', None)
        # An older checkpoint has the run's seed alone, which is the sampler's if it has no own one.
        then = meta.get('sampler_seed', meta.get('seed') if own == runner.seed else None)
        if own is not None and then is not None:
            sampler.seed = then
        self._resumed_gradients = checkpoint.pop('gradients', None)
        restore_stopping(runner, **meta.get('early_stopping', {}))

    def before_train(self, runner) -> None:
        """Restore gradients and the position in the data."""
        loader, loop = runner.train_dataloader, runner.train_loop
        if 'save_checkpoint' not in vars(runner):
            runner.save_checkpoint = self._with_gradients(runner)
        # An iterator draws a seed for its workers; this generator is not that of the transforms.
        seed = runner.seed or 0
        loader.generator = torch.Generator().manual_seed(iteration_key(seed, 0, 'loader') >> 1)
        by_iteration = type(loop) is IterBasedTrainLoop
        if by_iteration or isinstance(loop, EpochBasedTrainLoop):
            key_views(loader, seed, partial(_epoch, runner), self.period)
        if self._resumed_gradients is not None:
            _restore(unwrapped(runner), self._resumed_gradients)
            self._resumed_gradients = None
        if by_iteration:
            # Its iterator and workers were made before the keys.
            loader._iterator = None
            loop.dataloader_iterator = Ahead(loader, runner.iter)
        elif isinstance(loop, EpochBasedTrainLoop) and runner.iter > 0:
            seen = runner.iter - runner.epoch * len(loader)
            if not 0 <= seen <= len(loader):
                raise ValueError(
                    f'The checkpoint is at iteration {runner.iter} of epoch {runner.epoch}, but '
                    f'an epoch has {len(loader)} iterations: the dataset or batch size is another.'
                )
            skip(loader, seen)

    def before_train_epoch(self, runner) -> None:
        """Seed the loading of the epoch's first batch."""
        self._seed(runner, runner.iter, 'data')

    def before_train_iter(self, runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Seed the forward pass."""
        self._seed(runner, runner.iter, 'model')

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Seed the loading of the next batch."""
        self._seed(runner, runner.iter + 1, 'data')

    def before_val(self, runner) -> None:
        """Seed the validation."""
        if isinstance(runner._train_loop, BaseLoop):
            self._seed(runner, runner.iter, 'val')

    def after_val_epoch(self, runner, metrics: Optional[dict] = None) -> None:
        """Note for the next checkpoint, which a new best one brings, that it follows this one."""
        runner.message_hub.update_info(DONE, runner.iter)

    def after_val(self, runner) -> None:
        """Seed the loading of the next batch."""
        if isinstance(runner._train_loop, BaseLoop):
            self._seed(runner, runner.iter, 'data')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the data for the resumed run."""
        checkpoint['meta']['global_batch'] = _global_batch(runner)
        checkpoint['meta']['fingerprint'] = run_fingerprint(runner)
        checkpoint['meta']['early_stopping'] = stopping_state(runner)
        seed = getattr(runner.train_dataloader.sampler, 'seed', None)
        if isinstance(seed, (int, np.integer)):
            checkpoint['meta']['sampler_seed'] = int(seed)
        if self._gradients is not None and 'optimizer' in checkpoint:
            checkpoint['gradients'] = self._gradients

    def _with_gradients(self, runner):
        """``save_checkpoint``, which one process executes, behind a gathering of all."""
        save = runner.save_checkpoint

        @wraps(save)
        def save_checkpoint(*args, **kwargs):
            pending = not runner.optim_wrapper.should_update()
            if pending and kwargs.get('save_optimizer', True):
                self._gradients = _gather(runner)
            try:
                return save(*args, **kwargs)
            finally:
                self._gradients = None

        return save_checkpoint

    def _seed(self, runner, iteration: int, purpose: str) -> None:
        if self.period is not None:
            iteration %= self.period * len(runner.train_dataloader)
        seed_iteration(iteration_key(runner.seed or 0, iteration, purpose))


def _epoch(runner) -> int:
    """How often the data began anew, asked when it does."""
    loader = runner.train_dataloader
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return runner.epoch
    return 0 if never_ends(loader.sampler) else runner.iter // len(loader)


def _global_batch(runner) -> Optional[int]:
    size = getattr(runner.train_dataloader.batch_sampler, 'batch_size', None)
    return None if size is None else size * get_world_size()


def iteration_key(seed: int, iteration: int, purpose: str) -> int:
    """64 bits from all on which a process's random numbers in an iteration may depend."""
    text = struct.pack('<qqq', seed, get_rank(), iteration) + purpose.encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), 'little')


def seed_iteration(key: int) -> None:
    """Seed all generators, those of a device without blocking."""
    random.seed(key)
    np.random.seed(key & 0xFFFFFFFF)
    torch.manual_seed(key >> 1)


def _gather(runner) -> Optional[list]:
    if is_sharded(runner.model):
        runner.logger.warning(
            'A checkpoint between two steps of the optimizer has no gradients of a sharded '
            'student: a resumed run misses those of the iterations since the last step.'
        )
        return None
    mine = {
        name: value.grad.detach().cpu()
        for name, value in unwrapped(runner).named_parameters()
        if value.grad is not None
    }
    return gather_object(mine)


def _restore(model, gradients: list) -> None:
    """Give each process its gradients, or the mean if the number of processes has changed."""
    rank = get_rank()
    same = len(gradients) == get_world_size()
    for name, value in model.named_parameters():
        found = [gradients[rank]] if same else gradients
        found = [part[name] for part in found if name in part]
        if found:
            mean = found[0] if len(found) == 1 else torch.stack(found).mean(0)
            value.grad = mean.to(value.device, value.dtype)


def _check_weights(wanted: dict, state: dict) -> None:
    hint = 'To start from its weights alone use load_from.'
    check_complete(wanted, state, 'The checkpoint to resume from', 'the model', hint)
