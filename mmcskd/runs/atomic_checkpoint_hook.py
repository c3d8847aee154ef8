import copy
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.optim import ZeroRedundancyOptimizer
from mmengine.runner import BaseLoop
from mmrazor.registry import HOOKS

from ..checks.typed import typed
from .atomic_file import SUFFIX, AtomicBackend
from .checkpoint_options import check_options
from .resume_choice import PREEMPTED, candidates, choose, pointed_at
from .safe_loading import load_from_local
from .work_dir_lock import folders, lock, unlock


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, with checkpoints that are complete or absent.

    - A checkpoint is written to a temporary file, flushed to the disk and renamed; then
      ``last_checkpoint`` in the same way.
    - The oldest checkpoint and the previous best one are removed after the new one is written. The
      disk needs room for ``max_keep_ckpts`` + 1.
    - The first checkpoint of a run is read back at once, as a resume reads it. If a hook or an
      optimizer of your own has put more than plain values into it, the run ends.
    - A failed save, for example on a full disk, is an error in the log. Training continues, and
      earlier checkpoints stay. If no later save succeeds, the run fails at its end.
    - A folder that cannot be written to is refused before training, and a work directory in which
      another process trains. Its lock ends with that process, however it ends.
    - ``resume=True`` without a file uses the newest complete checkpoint, by iteration, not by date.
      A warning names the damaged ones, and the file in ``last_checkpoint`` if that is another. A
      damaged file that is given by name is refused.

    Args:
        stop_if_not_saved (bool): Whether a failed save ends the training. Defaults to False.
        **kwargs: Arguments of ``mmengine.hooks.CheckpointHook``.

    Raises:
        TypeError: For a key of another type than in MMEngine's hook.
        ValueError: For a value that MMEngine's hook does not accept; before training, if the run
            should resume and all checkpoints are damaged, if the folder cannot be written to, or
            for a ``ZeroRedundancyOptimizer`` of several processes, whose state no process has; at
            the first checkpoint, if it cannot be read.
        OSError: If a save fails and ``stop_if_not_saved`` is set; at the end, if the last save, or
            the last one of a best checkpoint, failed.
    """

    backend_args: Any
    file_backend: Any
    keep_ckpt_ids: Any

    @typed
    def __init__(self, *, stop_if_not_saved: bool = False, **kwargs) -> None:
        check_options(kwargs)
        try:
            super().__init__(**kwargs)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'default_hooks.checkpoint of {kwargs}: {error}') from error
        self.stop_if_not_saved = stop_if_not_saved
        self._has_read = False
        self._locked: List[str] = []
        self._unsaved: Dict[str, str] = {}  # failed saves with no later one in their place
        if self.backend_args is None and self.file_client_args is None and self._is_local():
            self.backend_args = dict(backend='atomic')

    def _is_local(self) -> bool:
        return '://' not in str(self.out_dir or '')

    def before_run(self, runner) -> None:
        """Lock the work directory; choose the checkpoint to resume from, before the runner does."""
        if isinstance(runner._train_loop, BaseLoop):
            self._lock(runner)
        # A FlexibleRunner calls this hook after loading; tools/train.py calls it before.
        if not runner._resume or not self._is_local() or getattr(runner, '_has_loaded', False):
            return
        wanted = runner._load_from
        if wanted is not None and '://' in wanted:
            return
        answer: List[Optional[str]] = [None, None]
        if is_main_process():
            # All processes raise: an error on one alone would leave the others waiting.
            try:
                answer = [choose(self._candidates(runner), wanted, runner), None]
            except (OSError, ValueError) as error:
                answer = [None, str(error)]
        broadcast_object_list(answer)
        chosen, fault = answer
        if fault is not None:
            raise ValueError(fault)
        runner._load_from = chosen
        if chosen is None:
            runner.logger.info(f'No checkpoint in {runner.work_dir} yet: starting anew.')
            runner._resume = False

    def _lock(self, runner) -> None:
        answer: List[Optional[str]] = [None]
        if is_main_process():
            for folder, key in folders(runner.work_dir, self.out_dir if self._is_local() else None):
                with suppress(OSError):  # that it cannot be written to is said before training
                    os.makedirs(folder, exist_ok=True)
                    answer[0] = answer[0] or lock(folder, key)
                    self._locked.append(folder)
        broadcast_object_list(answer)
        if answer[0] is not None:
            self._unlock()
            raise ValueError(answer[0])

    def _unlock(self) -> None:
        while self._locked:
            unlock(self._locked.pop())

    def _candidates(self, runner) -> List[Path]:
        """All checkpoints of the run, newest first."""
        folder = Path(folders(runner.work_dir, self.out_dir)[-1][0])
        return candidates(folder, self.filename_tmpl, self.by_epoch, pointed_at(runner.work_dir))

    def before_train(self, runner) -> None:
        """Find the directory, and remove incomplete files of killed processes."""
        super().before_train(runner)
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        if get_world_size() > 1 and isinstance(optimizer, ZeroRedundancyOptimizer):
            raise ValueError(
                'optim_wrapper.optimizer.type="ZeroRedundancyOptimizer": its state lies in all '
                'processes, and MMEngine saves that of the first alone. Name its optimizer_type as '
                'the type, or set strategy.type="StudentFSDPStrategy".'
            )
        if self._is_local():
            self._check_folder(runner)
            came_from = os.path.dirname(os.path.abspath(runner._load_from or ''))
            if runner._resume and came_from == os.path.abspath(self.out_dir):
                # A validation may come first; a new best one is then noted in a checkpoint at once.
                self.last_ckpt = runner._load_from
        if is_main_process() and self._is_local():
            for path in Path(self.out_dir).glob(f'*{SUFFIX}'):
                path.unlink()
            # Checkpoints that a killed process would have removed.
            for old in runner.message_hub.get_info('dropped_ckpt_ids', []):
                _remove(self.file_backend, self._path(self.filename_tmpl.format(old)))

    def _check_folder(self, runner) -> None:
        answer: List[Optional[str]] = [None]
        if is_main_process():
            probe = Path(self.out_dir) / f'probe{SUFFIX}'
            try:
                AtomicBackend().put_text('x', probe)
                probe.unlink()
            except OSError as error:
                own = self.out_dir != runner.work_dir
                key = 'default_hooks.checkpoint.out_dir' if own else 'work_dir'
                answer = [f'{key}: checkpoints cannot be written to {self.out_dir} ({error}).']
        broadcast_object_list(answer)
        if answer[0] is not None:
            raise ValueError(answer[0])

    def after_run(self, runner) -> None:
        """Fail if a checkpoint that should be there is not; release the work directory."""
        self._unlock()
        if self._unsaved:
            raise OSError(' '.join(self._unsaved.values()))

    def save_now(self, runner) -> bool:
        """Save ``preempted_iter_N.pth`` after any iteration, for a run that must end.

        Args:
            runner (Runner): The runner of the training process, after an iteration.

        Returns:
            bool: Whether it was saved. The next checkpoint of the resumed run replaces it.
        """
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        return self._save_as(runner, PREEMPTED.format(runner.iter + 1), meta, by_epoch=False)

    def _save_checkpoint_with_step(self, runner, step, meta):
        """As in the stock hook, but old checkpoints are removed at the end."""
        hub, dropped = runner.message_hub, []
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            before = self.keep_ckpt_ids
            kept = [*before, step]
            dropped = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts :], self.max_keep_ckpts)
            hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            hub.update_info('dropped_ckpt_ids', dropped)
        else:
            before = getattr(self, 'keep_ckpt_ids', None)
        if not self._save_as(runner, self.filename_tmpl.format(step), meta, self.by_epoch):
            if before is not None:
                self.keep_ckpt_ids = before
                hub.update_info('keep_ckpt_ids', list(before))
            return
        if is_main_process():
            for old in dropped:
                _remove(self.file_backend, self._path(self.filename_tmpl.format(old)))
            if self._is_local():
                for path in Path(self.out_dir).glob(PREEMPTED.format('*')):
                    path.unlink()

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _save_as(self, runner, name: str, meta: dict, by_epoch: bool) -> bool:
        saved = self._try_to_save(runner, name, meta, by_epoch)
        if not self._has_read:
            answer: List[Any] = [saved, None]
            if is_main_process() and saved and self._is_local():
                try:
                    load_from_local(self.last_ckpt, map_location='cpu')
                except Exception as error:  # any error of the unpickler
                    answer[1] = f'{self.last_ckpt} was saved, but no run could read it: {error}'
            broadcast_object_list(answer)
            self._has_read = answer[0]
            if answer[1] is not None:
                raise ValueError(answer[1])
        return saved

    def _try_to_save(self, runner, name: str, meta: dict, by_epoch: bool) -> bool:
        previous, self.last_ckpt = self.last_ckpt, self._path(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                pointer = os.path.join(runner.work_dir, 'last_checkpoint')
                AtomicBackend().put_text(self.last_ckpt, pointer)
        except OSError as error:
            self._not_saved(runner, 'last', self.last_ckpt, error)
            self.last_ckpt = previous
            return False
        self._unsaved.pop('last', None)
        return True

    def _not_saved(self, runner, kind: str, path: str, error: OSError) -> None:
        there = [str(path) for path in self._candidates(runner)] if self._is_local() else []
        message = f'{path} could not be saved ({error}). Still there: {", ".join(there) or "none"}.'
        if self.stop_if_not_saved:
            raise OSError(message) from error
        self._unsaved[kind] = message
        runner.logger.error(
            f'{message} Training goes on; default_hooks.checkpoint.stop_if_not_saved=True ends it.'
        )

    def _save_best_checkpoint(self, runner, metrics) -> None:
        """As in the stock hook, but the previous best one is removed after the new one."""
        if not self.save_best:
            return
        info = runner.message_hub.runtime_info
        before = {key: info[key] for key in info if key.startswith('best_')}
        mine = ('best_ckpt_path', 'best_ckpt_path_dict')
        paths = {key: copy.copy(getattr(self, key)) for key in mine if hasattr(self, key)}
        backend, self.file_backend = self.file_backend, _RemovesLater(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            for key in [key for key in info if key.startswith('best_')]:
                del info[key]
            info.update(before)
            self.__dict__.update(paths)
            self._not_saved(runner, 'best', 'The best checkpoint', error)
        else:
            if any(info[key] != before.get(key) for key in info if key.startswith('best_')):
                self._unsaved.pop('best', None)
            best = [getattr(self, 'best_ckpt_path', None)]
            best += getattr(self, 'best_ckpt_path_dict', {}).values()
            for path in self.file_backend.removed:
                if path not in best:
                    _remove(backend, path)
        finally:
            self.file_backend = backend


class _RemovesLater:
    """A file backend that only collects the files to remove."""

    def __init__(self, backend):
        self.backend = backend
        self.removed = []

    def remove(self, path):
        self.removed.append(path)

    rmtree = remove

    def __getattr__(self, name):
        return getattr(self.backend, name)


def _remove(backend, path: str) -> None:
    if backend.isfile(path):
        backend.remove(path)
    elif backend.isdir(path):
        backend.rmtree(path)
