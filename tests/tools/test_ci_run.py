""".ci/run: both suites, whatever the first one does, and the closing lines of both."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
from tool_runs import ROOT


@pytest.mark.parametrize('failing', [(), ('tests',), ('transfer_tests',)])
def test_both_suites_run_and_either_fails_it(failing, tmp_path):
    (tmp_path / '.ci').mkdir()
    (tmp_path / 'tools').mkdir()
    run = shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci' / 'run')
    assert os.access(run, os.X_OK)
    for suite in ('tests', 'transfer_tests'):
        script = tmp_path / 'tools' / f'run_{suite}.sh'
        script.write_text(f'echo {suite} run\necho "closing line of {suite}"\n')
        if suite in failing:
            script.write_text(f'{script.read_text()}exit 3\n')
    done = subprocess.run([run], cwd='/', capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) == bool(failing)
    lines = done.stdout.splitlines()
    assert lines.index('tests run') < lines.index('transfer_tests run')
    assert lines[-1] == 'closing line of tests'  # the one that counts for whoever reads the last
    assert lines[-3] == 'closing line of transfer_tests'


def test_a_slow_machine_leaves_out_the_second_and_says_so(tmp_path):
    for folder in ('.ci', 'tools'):
        (tmp_path / folder).mkdir()
    run = shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci' / 'run')
    (tmp_path / 'tools' / 'run_tests.sh').write_text('sleep 1.1\necho "closing line"\nexit 3\n')
    done = subprocess.run(
        [run], env=dict(os.environ, SECOND_SUITE_BY='0'), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.search(
        'transfer_tests.sh:\nNOT RUN: the first suite took .*run_tests.sh:\nclosing line\n$',
        done.stdout, re.S,
    )  # fmt: skip


@pytest.mark.parametrize('slow', ['tests', 'transfer_tests'])
def test_what_takes_too_long_is_cut_off_and_says_so(slow, tmp_path):
    """With all that it started, but for what left its group, which is not waited for."""
    for folder in ('.ci', 'tools'):
        (tmp_path / folder).mkdir()
    run = shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci' / 'run')
    for suite in ('tests', 'transfer_tests'):
        wait = 'sleep 50 & setsid sleep 4 & sleep 50\n' if suite == slow else ''
        (tmp_path / 'tools' / f'run_{suite}.sh').write_text(f'{wait}echo "line of {suite}"\n')
    begin = time.monotonic()
    done = subprocess.run(
        [run], env=dict(os.environ, CI_LIMIT='3', SECOND_SUITE_BY='2'),
        capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    assert time.monotonic() - begin < 20
    last = {suite: f'line of {suite}' for suite in ('tests', 'transfer_tests')}
    last[slow] = 'NOT FINISHED: cut off after . s'
    if slow == 'tests':
        last['transfer_tests'] = 'NOT RUN: the first suite took . s, more than 2'
    assert re.search(f'transfer_tests.sh:\n{last["transfer_tests"]}\n', done.stdout)
    assert re.search(f'run_tests.sh:\n{last["tests"]}\n$', done.stdout)
    assert done.returncode == (slow == 'tests')


@pytest.mark.skipif('PYTEST_XDIST_WORKER' not in os.environ, reason='runs alone')
def test_files_that_run_at_a_time_share_the_cores():
    """Two threads for each of two cost many times the time that one each does."""
    assert torch.get_num_threads() == 1 == int(os.environ['OMP_NUM_THREADS'])


def test_a_test_that_hangs_is_a_failure(tmp_path):
    """It says where; the others run. A process that is started anew would hang once more."""
    shutil.copy(ROOT / 'pytest.ini', tmp_path)
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'tests' / 'test_one.py').write_text(
        'import time\ndef test_one():\n    time.sleep(50)  # for ever\n'
    )
    (tmp_path / 'tests' / 'test_two.py').write_text('def test_two():\n    pass\n')
    options = re.search('pytest (-n .*) "', (ROOT / 'tools' / 'run_tests.sh').read_text())[1]
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', *options.replace('${WORKERS:-2}', '2').replace('"', '').split(),
         '-o', 'faulthandler_timeout=1', '-p', 'no:cacheprovider'],
        cwd=tmp_path, capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'test_one.py", line 3 in test_one' in done.stderr
    assert re.search('1 failed, 1 passed', done.stdout)
