""".ci/run: all tests whatever the first ones do, and how each command ended."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from tool_runs import ROOT


def ci_run(folder, run_tests, run_transfer_tests, **environment):
    """.ci/run on stand-ins of the two scripts, which get its arguments."""
    for name in ('.ci', 'tools'):
        (folder / name).mkdir()
    run = shutil.copy(ROOT / '.ci' / 'run', folder / '.ci' / 'run')
    (folder / 'tools' / 'run_tests.sh').write_text(run_tests)
    (folder / 'tools' / 'run_transfer_tests.sh').write_text(run_transfer_tests)
    return subprocess.run(
        [run], cwd='/', env=dict(os.environ, **environment), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    'failing', [None, 'tests ', 'tests --all -m slow', 'tests --stack onedl', 'transfer']
)
def test_all_run_and_any_fails_it(failing, tmp_path):
    # The first words are enough to tell the suites apart.
    check = f'echo "$said"\n[ "$said" != "{failing}" ]\n'
    scripts = ['said="tests ${*:1:3}"\nsaid="${said% -k}"\n' + check, 'said=transfer\n' + check]
    done = ci_run(tmp_path, *scripts)
    assert (done.returncode != 0) == bool(failing)
    ran, closing = done.stdout.split('\n\n')
    assert ran.splitlines() == ['tests ', 'tests --all -m slow', 'tests --stack onedl', 'transfer']
    assert closing == (
        'transfer:\ntransfer\nquick:\ntests \nrest:\ntests --all -m slow\n'
        'onedl:\ntests --stack onedl\n'
    )


@pytest.mark.slow
@pytest.mark.parametrize('slow', ['tests', 'transfer'])
def test_what_takes_too_long_is_cut_off_and_says_so(slow, tmp_path):
    """With all that it started, but for what left its group, which is not waited for."""
    wait = 'sleep 50 & setsid sleep 4 & sleep 50\n'
    scripts = [f'{wait if name == slow else ""}echo {name}\n' for name in ('tests', 'transfer')]
    done = ci_run(tmp_path, *scripts, CI_LIMIT='3')
    assert done.returncode == (slow == 'tests')
    cut = {slow: r'NOT FINISHED: cut off after \d s'}
    for name, script in (('transfer', 'transfer'), ('quick', 'tests'), ('rest', 'tests')):
        assert re.search(f'\n{name}:\n{cut.get(script, script)}\n', done.stdout), done.stdout


@pytest.mark.slow
def test_a_test_that_hangs_is_a_failure(tmp_path):
    """It says where; the others run. A process that is started anew would hang once more."""
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'tests' / 'test_one.py').write_text(
        'import time\ndef test_one():\n    time.sleep(50)  # for ever\n'
    )
    (tmp_path / 'tests' / 'test_two.py').write_text('def test_two():\n    pass\n')
    options = re.search('(-n "\\${WORKERS.*) "', (ROOT / 'tools' / 'run_tests.sh').read_text())[1]
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', *options.replace('"${WORKERS:-2}"', '2').split(),
         '-o', 'faulthandler_timeout=1', '-p', 'no:cacheprovider'],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'test_one.py", line 3 in test_one' in done.stderr
    assert re.search('1 failed, 1 passed', done.stdout)
