import os
import signal
import socket
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Optional

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmrazor.registry import HOOKS

from ..checks.typed import typed
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .worker_signals import shield_workers

EXIT_CODE = 128 + signal.SIGTERM


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save a checkpoint and end the run on SIGTERM; ``--resume`` continues from it.

    The processes tell each other of the signal in each iteration, by gloo and without waiting for a
    device. All finish the same iteration (with gradient accumulation, the step). The first process,
    or with a student in shards all of them, saves ``preempted_iter_N.pth`` through the
    :class:`~mmcskd.AtomicCheckpointHook`, and all exit with status 143, as a shell reports a
    process that SIGTERM ended. On Linux data workers, in training and validation, ignore the
    signal unless their own process sends it.

    A process that does not get so far within the grace period, because another one is gone or a
    validation takes longer, exits with 143 as well. A save that has begun is not interrupted; if
    the disk hangs, the scheduler's SIGKILL ends it and the checkpoint is absent. A run without an
    ``AtomicCheckpointHook`` gets a warning and ends on SIGTERM at once.

    Args:
        grace (float): Seconds from the signal after which a process that has not begun to save
            ends. Schedulers send SIGKILL after about 30. Defaults to 25.

    Raises:
        ValueError: If ``grace`` is not positive.
    """

    priority = 'LOWEST'

    @typed
    def __init__(self, grace: float = 25.0) -> None:
        if grace <= 0:
            raise ValueError(f'PreemptionHook.grace is {grace}, expected seconds > 0.')
        self.grace = grace
        self.asked = False
        self._saving = threading.Event()
        self._before: Optional[tuple] = None
        self._group = None

    def before_run(self, runner) -> None:
        """Make data workers ignore the signal, which a scheduler may send to every process."""
        for loop in (runner._train_loop, runner._val_loop):
            shield_workers(loop)

    def before_train(self, runner) -> None:
        """Listen for the signal."""
        self._checkpoints = next(
            (hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)), None
        )
        if self._checkpoints is None:
            runner.logger.warning(
                'PreemptionHook has no hook to save with, so SIGTERM ends the run without a '
                'checkpoint: set default_hooks.checkpoint.type to "mmrazor.AtomicCheckpointHook".'
            )
            return
        if threading.current_thread() is not threading.main_thread():
            runner.logger.warning('PreemptionHook: no signals reach this thread.')
            return
        if get_world_size() > 1:
            patience = (runner.cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout', 1800)
            self._group = torch.distributed.new_group(
                backend='gloo', timeout=timedelta(seconds=patience)
            )
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._wakeups = theirs
        handler = signal.signal(signal.SIGTERM, self._note)
        # A thread reads it: the main thread may wait for another process and run no handler.
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._before = (handler, wakeup)
        threading.Thread(target=self._watch, args=(ours,), daemon=True).start()

    def _note(self, number, frame) -> None:
        self.asked = True

    def _watch(self, wakeups: socket.socket) -> None:
        while True:
            numbers = wakeups.recv(4096)
            if not numbers:  # the other end was closed
                wakeups.close()
                return
            if signal.SIGTERM in numbers and not self._saving.wait(self.grace):
                os._exit(EXIT_CODE)

    def before_train_iter(self, runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Tell the other processes whether the signal came; they read it after the iteration."""
        if self._group is not None:
            self._flag = torch.tensor(int(self.asked))
            self._told = torch.distributed.all_reduce(
                self._flag, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
            )

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Save and exit, if the signal came."""
        if not self._is_asked() or not runner.optim_wrapper.should_update():
            return
        self._saving.set()
        saved = self._checkpoints.save_now(runner)
        runner.logger.warning(
            f'SIGTERM at iteration {runner.iter + 1}: '
            + (f'saved {self._checkpoints.last_ckpt}, go on with --resume.' if saved else 'exit.')
        )
        if self._group is not None:
            # A launcher ends all processes soon after the first has exited.
            with suppress(RuntimeError):  # another process is gone
                torch.distributed.barrier(group=self._group)
        self.after_train(runner)
        raise SystemExit(EXIT_CODE)

    def _is_asked(self) -> bool:
        """Whether to save now, the same on all processes."""
        if self._group is None:
            return self.asked
        self._told.wait()
        return bool(self._flag)

    def after_train(self, runner) -> None:
        """Restore the signal handler."""
        if self._before is not None:
            handler, wakeup = self._before
            signal.signal(signal.SIGTERM, handler)
            signal.set_wakeup_fd(wakeup)
            self._before = None
            self._wakeups.close()


# A forked process inherits the run's handler and socket: a pool that ends its processes by SIGTERM
# would end the training. So a forked process drops both, with the signal blocked until then.
_mask = threading.local()


def _before_fork() -> None:
    _mask.before = None
    if getattr(signal.getsignal(signal.SIGTERM), '__func__', None) is PreemptionHook._note:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork() -> None:
    if _mask.before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _in_the_fork() -> None:
    if _mask.before is not None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _after_fork()


if hasattr(os, 'register_at_fork'):  # not on Windows
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_the_fork
    )
