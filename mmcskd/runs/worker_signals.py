"""Data workers that leave SIGTERM to the process they work for."""

import os
import signal
import threading
from functools import partial
from typing import Any, Callable, Optional

from torch.utils.data import DataLoader

CAN_TELL = hasattr(signal, 'sigwaitinfo')  # who sent a signal; not on macOS and Windows


def shield_workers(loop: Any) -> None:
    """Let the workers of a loop's dataloaders, which have yet to start, live through a SIGTERM.

    A scheduler sends it to every process of a job. torch's workers die of it, and of a dead worker
    the training, before it has saved anything. These end when the process they work for ends them,
    or has ended itself.

    Args:
        loop (BaseLoop, optional): Of a runner, for training or validation.
    """
    for loader in getattr(loop, '__dict__', {}).values() if CAN_TELL else ():
        if isinstance(loader, DataLoader) and loader.num_workers:
            init = loader.worker_init_fn
            if getattr(init, 'func', None) is not shielded:
                loader.worker_init_fn = partial(shielded, init)


def shielded(init: Optional[Callable], worker: int) -> None:
    """What a worker does first.

    Args:
        init (Callable, optional): What it would have done.
        worker (int): Its number.
    """
    # Threads that are started from here on have the signal blocked as well.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_listen, args=(os.getppid(),), daemon=True).start()
    if init is not None:
        init(worker)


def _listen(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent and os.getppid() == parent:
        pass
    os._exit(0)
