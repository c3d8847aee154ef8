"""The tests' own ``python`` behaves as the real one, as far as the tests look at it."""

import os
import signal
import subprocess
import sys

import pytest
import warm_python

SCRIPT = """
import os, signal, sys
print(sys.argv[1:], os.getcwd(), os.environ.get('MARK'), sys.stdin.read())
print('to stderr', file=sys.stderr)
{then}
"""


@pytest.fixture(params=['real', 'warm'])
def python(request):
    return str(warm_python.directory() / 'python') if request.param == 'warm' else sys.executable


@pytest.mark.parametrize(
    'then, code, said',
    [
        ('', 0, ''),
        ('sys.exit(3)', 3, ''),
        ('sys.exit("a reason")', 1, 'a reason'),
        ('raise ValueError("wrong")', 1, 'ValueError: wrong'),
        ('os.kill(os.getpid(), signal.SIGKILL)', -signal.SIGKILL, ''),
    ],
)
def test_streams_arguments_and_end(python, then, code, said, tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT.format(then=then))
    done = subprocess.run(
        [python, '-u', 'script.py', 'a', 'b c'], input='typed', cwd=tmp_path, text=True,
        capture_output=True, timeout=120, env=dict(os.environ, MARK='here'),
    )  # fmt: skip
    assert done.returncode == code
    assert done.stdout == f"['a', 'b c'] {tmp_path} here typed\n"
    assert done.stderr.startswith('to stderr\n') and said in done.stderr


def test_signals_arrive(python, tmp_path):
    (tmp_path / 'script.py').write_text(
        'import signal, sys, time\n'
        'signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n'
        'print("ready")\n'
        'while True: time.sleep(0.1)\n'
    )
    with subprocess.Popen(
        [python, '-u', 'script.py'], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == 'ready\n'
        run.terminate()
        assert run.wait(timeout=60) == 7


def test_random_numbers_are_each_their_own(tmp_path):
    (tmp_path / 'script.py').write_text(
        'import random, numpy; print(random.random(), numpy.random.rand())'
    )
    python = warm_python.directory() / 'python'
    first, second = (
        subprocess.check_output([python, 'script.py'], cwd=tmp_path, text=True) for _ in range(2)
    )
    assert not set(first.split()) & set(second.split())


def test_a_child_of_a_caller_that_is_killed_ends(tmp_path):
    (tmp_path / 'script.py').write_text(
        'import os, time; print(os.getpid(), flush=True); time.sleep(600)'
    )
    python = warm_python.directory() / 'python'
    with subprocess.Popen([python, 'script.py'], cwd=tmp_path, stdout=subprocess.PIPE) as run:
        child = int(run.stdout.readline())
        run.kill()
        assert run.stdout.read() == b''  # closed, which it is not while the child lives
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(child, 0)
            signal.sigtimedwait([], 0.05)
