"""Data workers that ignore Ctrl-C, and SIGTERM from other processes than their own."""

import os
import signal
import threading
from functools import partial
from typing import Any, Callable, Optional

from torch.utils.data import DataLoader

CAN_TELL = hasattr(signal, 'sigwaitinfo')  # tells who sent a signal; not on macOS and Windows


def shield_workers(loop: Any) -> None:
    """Make the workers of a loop's dataloaders, before they start, ignore signals of others.

    A terminal sends SIGINT, and a scheduler SIGTERM, to every process of a job. torch's workers end
    on them, and their end stops the training before it has saved. These workers end when their own
    process ends them or has ended itself.

    Args:
        loop (BaseLoop, optional): A training or validation loop of a runner.
    """
    for loader in getattr(loop, '__dict__', {}).values():
        if isinstance(loader, DataLoader) and loader.num_workers:
            init = loader.worker_init_fn
            if getattr(init, 'func', None) is not shielded:
                loader.worker_init_fn = partial(shielded, init)


def shielded(init: Optional[Callable], worker: int) -> None:
    """Set up a worker.

    Args:
        init (Callable, optional): Its other initialisation.
        worker (int): Its index.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if CAN_TELL:
        # Threads of this worker inherit the blocked signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_listen, args=(os.getppid(),), daemon=True).start()
    if init is not None:
        init(worker)


def _listen(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent and os.getppid() == parent:
        pass
    os._exit(0)
