""".ci/run: both suites, whatever the first one does, and the closing lines of both."""

import os
import re
import shutil
import subprocess

import pytest
from runs import ROOT


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
