"""One step of `mmcskd distill`: a config, trained by tools/train.py in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

# Files in a wheel, links in a checkout.
PACKAGE = Path(__file__).resolve().parents[1]
TOOLS = PACKAGE / '.mim' / 'tools'
TAIL = 15


def command(config: Path, devices: int, bank: bool = False) -> List[str]:
    """The command that trains a config, which a user may type too.

    Args:
        config (Path): With its own ``work_dir``.
        devices (int): Number of processes.
        bank (bool): Whether to bank the teacher's responses instead. Defaults to False.
    """
    tool, options = 'train', ['--resume']
    if bank:
        tool, options = 'bank_responses', ['--work-dir', str(config.with_name('bank'))]
    if devices == 1:
        return [sys.executable, str(TOOLS / f'{tool}.py'), str(config), *options]
    return ['bash', str(TOOLS / f'dist_{tool}.sh'), str(config), str(devices), *options]


def train(config: Path, devices: int, verbose: bool, bank: bool = False) -> None:
    """Train a config to its end; from its last checkpoint if there is one.

    Args:
        config (Path): With its own ``work_dir``.
        devices (int): Number of processes.
        verbose (bool): Whether MMEngine's log goes to the terminal.
        bank (bool): As for :func:`command`. Defaults to False.

    Raises:
        KeyboardInterrupt: If it was interrupted; its last checkpoint is there.
        RuntimeError: If it failed, with the last lines of what it said.
    """
    errors = config.with_name('bank.log' if bank else 'stderr.log')
    parts = command(config, devices, bank)
    if verbose and not bank:
        parts += ['--cfg-options', 'default_hooks.progress=None']
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = str(server.getsockname()[1])
    # The child imports this very package, installed or not.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get('PYTHONPATH')]))
    environment = dict(os.environ, PYTHON=sys.executable, PORT=port, PYTHONPATH=path)
    stopped = []
    with open(errors, 'wb') as file:
        process = subprocess.Popen(
            parts, env=environment, stdin=subprocess.DEVNULL, stderr=None if verbose else file,
            stdout=None if verbose or not bank else file,
            start_new_session=True,
        )  # fmt: skip

        def stop(*_):
            stopped.append(True)
            process.terminate()

        # Only a program's first thread may have handlers; a notebook's cells run in it.
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            status = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if stopped or status in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(
            f'{Path(parts[1]).name} {config} ended with status {status}. Its last words:\n'
            + '\n'.join(errors.read_text('utf-8', 'replace').splitlines()[-TAIL:])
        )
