"""Tools in processes forked from this one, so that the toolboxes are imported once."""

import multiprocessing
import os
import runpy
import socket
import sys
import traceback

import torch
from mmengine.registry import DefaultScope
from tool_runs import TOOLS

LIMIT = 500  # seconds


def forked(function, *arguments, cwd, fails=False):
    """Call a function in a process of its own, in a folder.

    Args:
        function (Callable): What to call.
        *arguments: Of the function.
        cwd (Path): The folder, in which modules are looked for as well.
        fails (bool): Whether it is to raise. Defaults to False.

    Returns:
        str: What it printed.
    """
    return _end(_begin(function, arguments, cwd, cwd / 'printed.txt'), fails)


def tool(name, *arguments, cwd, fails=False):
    """Run a script of tools/ as a user starts it."""
    return forked(_run, name, arguments, cwd=cwd, fails=fails)


def tool_of_two(name, *arguments, cwd):
    """Run a script of tools/ as two processes of one job, as `torch.distributed.run` does.

    Returns:
        str: What the first one printed.
    """
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    job = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2)
    arguments = (*arguments, '--launcher', 'pytorch')
    processes = [
        _begin(
            _run, (name, arguments), cwd, cwd / f'printed_{rank}.txt', RANK=rank, LOCAL_RANK=rank,
            **job,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    return [_end(process, fails=False) for process in processes][0]


def _begin(function, arguments, cwd, log, **environment):
    log.write_text('')
    process = multiprocessing.get_context('fork').Process(
        target=_call, args=(function, arguments, cwd, log, environment)
    )
    process.start()
    return process, log


def _end(begun, fails):
    process, log = begun
    process.join(LIMIT)
    if process.exitcode is None:
        process.kill()
    printed = log.read_text()
    assert process.exitcode is not None, f'not done after {LIMIT} s: {printed[-3000:]}'
    assert (process.exitcode != 0) == fails, printed[-6000:]
    return printed


def _run(name, arguments):
    sys.argv = [str(part) for part in (TOOLS / name, *arguments)]
    runpy.run_path(sys.argv[0], run_name='__main__')


def _call(function, arguments, cwd, log, environment):
    os.environ.update({key: str(value) for key, value in environment.items()})
    with log.open('w') as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    # In place of pytest's own; by number, so that a tool may turn it elsewhere.
    sys.stdout = sys.stderr = open(1, 'w', buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    sys.path[:0] = [str(cwd), str(TOOLS)]
    torch.set_num_threads(1)
    DefaultScope._instance_dict.clear()
    try:
        function(*arguments)
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
