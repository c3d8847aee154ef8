import os
import signal
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Optional

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmrazor.registry import HOOKS

from ..checks.typed import typed
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .worker_signals import shield_workers

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO = 1.0  # seconds in which a launcher passes on the Ctrl-C that a terminal has sent to all
DAY = 86400.0
TOLD = b"""
Ctrl-C: the run saves a checkpoint after this step and ends. A second Ctrl-C ends it at once.
"""


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Save a checkpoint and end the run on SIGTERM or Ctrl-C; ``--resume`` continues from it.

    The processes tell each other of the signal in each iteration, by gloo and without waiting for a
    device. All finish the same iteration (with gradient accumulation, the step). The first process,
    or with a student in shards all of them, saves ``preempted_iter_N.pth`` through the
    :class:`~mmcskd.AtomicCheckpointHook`, and all exit with status 143, or 130 after Ctrl-C, as a
    shell reports a process that the signal ended. Data workers, in training and validation, ignore
    Ctrl-C, and on Linux SIGTERM unless their own process sends it.

    A process that does not get so far within the grace period, because another one is gone or a
    validation takes longer, exits with the same status. A second Ctrl-C, a second after the first
    signal or later, ends it at once. Otherwise a save that has begun is not interrupted; if the
    disk hangs, the scheduler's SIGKILL ends it and the checkpoint is absent. A run without an
    ``AtomicCheckpointHook`` gets a warning and ends on the signal at once. A run that ignores
    SIGINT, as one in the background of a script, goes on ignoring it.

    Args:
        grace (float): Seconds from the signal after which a process that has not begun to save
            ends, at most a day. Schedulers send SIGKILL after about 30. Defaults to 25.

    Raises:
        ValueError: If ``grace`` is not positive or more than a day.
    """

    priority = 'LOWEST'

    @typed
    def __init__(self, grace: float = 25.0) -> None:
        if not 0 < grace <= DAY:
            raise ValueError(
                f'PreemptionHook.grace is {grace}, expected seconds > 0, at most {DAY:.0f}.'
            )
        self.grace = grace
        self.asked = 0  # the signal
        self._saving = threading.Event()
        self._before: Optional[tuple] = None
        self._group: Any = None

    def before_run(self, runner) -> None:
        """Make data workers ignore the signal, which a scheduler may send to every process."""
        for loop in (runner._train_loop, runner._val_loop):
            shield_workers(loop)

    def before_train(self, runner) -> None:
        """Listen for the signal."""
        self._checkpoints: Any = next(
            (hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)), None
        )
        if self._checkpoints is None:
            runner.logger.warning(
                'PreemptionHook has no hook to save with, so SIGTERM and Ctrl-C end the run '
                'without a checkpoint: set default_hooks.checkpoint.type to '
                '"mmrazor.AtomicCheckpointHook".'
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
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            if handlers[number] is not signal.SIG_IGN:
                signal.signal(number, self._note)
        # A thread reads it: the main thread may wait for another process and run no handler.
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._before = (handlers, wakeup)
        threading.Thread(target=self._watch, args=(ours,), daemon=True).start()

    def _note(self, number, frame) -> None:
        self.asked = self.asked or int(number)

    def _watch(self, wakeups: socket.socket) -> None:
        """End the process after the grace period, or at a second Ctrl-C."""
        first, began = 0, 0.0
        while True:
            if first and not self._saving.is_set():
                wakeups.settimeout(max(began + self.grace - time.monotonic(), 0.001))
            else:
                wakeups.settimeout(None)
            try:
                numbers = wakeups.recv(4096)
            except socket.timeout:
                if not self._saving.is_set():
                    os._exit(128 + first)
                continue
            if not numbers:  # the other end was closed
                wakeups.close()
                return
            asked = [number for number in numbers if number in SIGNALS]
            if asked and not first:
                first, began = asked[0], time.monotonic()
                if first == signal.SIGINT:
                    os.write(2, TOLD)
            elif signal.SIGINT in asked and time.monotonic() > began + ECHO:
                os._exit(128 + signal.SIGINT)

    def before_train_iter(self, runner, batch_idx: int, data_batch: DATA_BATCH = None) -> None:
        """Tell the other processes whether the signal came; they read it after the iteration."""
        if self._group is not None:
            self._flag = torch.tensor(self.asked)
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
        asked = self._asked_of_all()
        if not asked or not runner.optim_wrapper.should_update():
            return
        self._saving.set()
        saved = self._checkpoints.save_now(runner)
        runner.logger.warning(
            f'{signal.Signals(asked).name} at iteration {runner.iter + 1}: '
            + (f'saved {self._checkpoints.last_ckpt}, go on with --resume.' if saved else 'exit.')
        )
        if self._group is not None:
            # A launcher ends all processes soon after the first has exited.
            with suppress(RuntimeError):  # another process is gone
                torch.distributed.barrier(group=self._group)
        self.after_train(runner)
        raise SystemExit(128 + asked)

    def _asked_of_all(self) -> int:
        """The signal, or 0, the same on all processes."""
        if self._group is None:
            return self.asked
        self._told.wait()
        return int(self._flag)

    def after_train(self, runner) -> None:
        """Restore the signal handlers."""
        if self._before is not None:
            handlers, wakeup = self._before
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            self._before = None
            self._wakeups.close()


# A forked process inherits the run's handlers and socket: a pool that ends its processes by SIGTERM
# would end the training. So a forked process drops both, with the signals blocked until then.
_mask = threading.local()


def _before_fork() -> None:
    _mask.before = None
    if getattr(signal.getsignal(signal.SIGTERM), '__func__', None) is PreemptionHook._note:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _after_fork() -> None:
    if _mask.before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _in_the_fork() -> None:
    if _mask.before is not None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    _after_fork()


if hasattr(os, 'register_at_fork'):  # not on Windows
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_the_fork
    )
