"""A Python that has everything imported, for the hundreds of processes that the tests start.

Half of a small run is the import of torch and the toolboxes. :func:`directory` gives a directory with a
``python`` for PATH, PYTHON and PYTHON_EXEC: scripts and torchrun are run by a fork of one process that has
done its imports, with the caller's arguments, directory, environment and streams; whatever else is asked
of it, the real Python does.
"""

import atexit
import contextlib
import functools
import gc
import importlib.util
import json
import os
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def directory():
    """Start the process, which ends with this one.

    Returns:
        Path: The directory that has ``python`` in it.
    """
    place = Path(tempfile.mkdtemp())
    alive, _ = os.pipe()
    subprocess.Popen(
        [sys.executable, HERE / 'warm_python.py', place / 'socket', str(alive)],
        env=dict(
            os.environ,
            PYTHONPATH=str(HERE.parent),
            PYTHONWARNINGS='ignore',
            OMP_NUM_THREADS='1',
        ),
        pass_fds=[alive],
    )
    os.close(alive)  # the other end is closed with this process
    python = place / 'python'
    python.write_text(f'#!{sys.executable} -ISE\n' + (HERE / 'warm_client.py').read_text())
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return place


def environment():
    """Variables by which scripts, shell scripts and torchrun find it."""
    place = directory()
    python = str(place / 'python')
    path = f'{place}:{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return dict(PYTHON=python, PYTHON_EXEC=python, PATH=path)


def serve(path, alive):
    """Fork for each caller; returns its request, in the fork alone."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    waiting = selectors.DefaultSelector()
    for each in (server, alive, wake):
        waiting.register(each, selectors.EVENT_READ)
    children = {}  # of a connection, its process
    while True:
        for key, _ in waiting.select():
            if key.fileobj == alive:
                shutil.rmtree(Path(path).parent)
                os._exit(0)
            if key.fileobj == wake:
                os.read(wake, 4096)
                _reap(children, waiting)
            elif key.fileobj is server:
                connection = server.accept()[0]
                text, streams, *_ = socket.recv_fds(connection, 4, 3)
                size = int.from_bytes(text, 'little')
                request = b''
                while len(request) < size:
                    request += connection.recv(size - len(request))
                child = os.fork()
                if child == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (server, connection, *children):
                        each.close()
                    waiting.close()
                    for each in (wake, woken, alive):
                        os.close(each)
                    for number, stream in enumerate(streams):
                        os.dup2(stream, number)
                        os.close(stream)
                    return json.loads(request)
                for stream in streams:
                    os.close(stream)
                connection.sendall(child.to_bytes(4, 'little'))
                children[connection] = child
                waiting.register(connection, selectors.EVENT_READ)
            elif key.fileobj in children:  # its caller is gone
                os.kill(children[key.fileobj], signal.SIGKILL)
                waiting.unregister(key.fileobj)


def _reap(children, waiting):
    for connection, child in list(children.items()):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(code.to_bytes(4, 'little', signed=True))
            if connection in waiting.get_map():
                waiting.unregister(connection)
            connection.close()
            del children[connection]


def become(request):
    """What Python sets up for a script or a module; returns what runs it."""
    import random
    import runpy
    import warnings

    import numpy as np
    import torch

    os.chdir(request['directory'])
    os.environ.clear()
    os.environ.update(request['environment'])
    if os.environ.get('PYTHONWARNINGS') == 'ignore':
        warnings.simplefilter('ignore')
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    np.random.seed()
    random.seed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    arguments = [each for each in request['arguments'] if each != '-u']
    own = [path for path in os.environ.get('PYTHONPATH', '').split(':') if path]
    rest = [path for path in sys.path if path not in (str(HERE), str(HERE.parent))]
    if arguments[0] == '-m':
        sys.argv, sys.path[:] = arguments[1:], [os.getcwd(), *own, *rest]
        return lambda: runpy.run_module(arguments[1], run_name='__main__', alter_sys=True)
    script = arguments[0]
    sys.argv, sys.path[:] = arguments, [str(Path(script).resolve().parent), *own, *rest]
    return lambda: runpy.run_path(script, run_name='__main__')


def end(run):
    """Run and exit as Python does, without taking apart the thousands of modules."""
    code = 0
    try:
        run()
    except SystemExit as error:
        code = error.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == '__main__':
    import mmpretrain.apis  # noqa: F401
    import tensorboard.compat.proto.event_pb2  # noqa: F401
    import torch.distributed.run
    import torch.utils.tensorboard  # noqa: F401
    from mmengine.config import config

    import mmcskd  # noqa: F401

    if importlib.util.find_spec('mmcv._ext'):
        import mmdet.apis  # noqa: F401
        import mmseg.apis  # noqa: F401

    # As in the tests' own process: configs are written without layout.
    config.FormatCode = lambda text, **_: (text, True)
    gc.collect()
    gc.freeze()  # or a fork copies what its first collection looks at
    run = become(serve(sys.argv[1], int(sys.argv[2])))
    end(run)
