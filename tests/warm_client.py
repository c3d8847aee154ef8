"""Stands for ``python``: hands a script or torchrun to the warm process, else is the real one."""

import array
import json
import os
import signal
import socket
import sys
import time

arguments = sys.argv[1:]
named = [each for each in arguments if each != '-u']
if not named or not (named[0].endswith('.py') or named[:2] == ['-m', 'torch.distributed.run']):
    os.execv(sys.executable, [sys.executable, *arguments])
server = socket.socket(socket.AF_UNIX)
path = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), 'socket')
for _ in range(3000):  # it may still be importing
    try:
        server.connect(path)
        break
    except (FileNotFoundError, ConnectionRefusedError):
        time.sleep(0.1)
else:
    sys.exit('tests/warm_python.py did not start')
request = json.dumps(
    dict(arguments=arguments, directory=os.getcwd(), environment=dict(os.environ))
).encode()
streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))
server.sendmsg([len(request).to_bytes(4, 'little')], [streams])
server.sendall(request)
child = int.from_bytes(server.recv(4, socket.MSG_WAITALL), 'little')
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda number, _: os.kill(child, number))
answer = server.recv(4, socket.MSG_WAITALL)
code = int.from_bytes(answer, 'little', signed=True) if answer else 1
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
