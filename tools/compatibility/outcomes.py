"""A pytest plugin that keeps each test's outcome in a file, and runs only what has none yet.

``MMCSKD_OUTCOMES`` names the file, one JSON object a line. Tests that passed or were skipped in an
earlier run are left out; those that failed, or were under way when it ended, run again.
"""

import json
import os
from pathlib import Path

FILE = Path(os.environ['MMCSKD_OUTCOMES'])


def read(file):
    """The last outcome of each test.

    Args:
        file (Path): As this plugin writes it.

    Returns:
        dict: From the test's name to ``dict(test, outcome, reason)``; the outcome is "passed",
        "skipped" or "failed".
    """
    found = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        one = json.loads(line)
        found.pop(one['test'], None)
        found[one['test']] = one
    return found


def pytest_collection_modifyitems(config, items):
    done = {name for name, one in read(FILE).items() if one['outcome'] != 'failed'}
    left_out = [item for item in items if item.nodeid in done]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report):
    if 'PYTEST_XDIST_WORKER' in os.environ:
        return  # the process that started it writes
    if report.when != 'call' and report.outcome == 'passed':
        return
    reason = ''
    if report.outcome == 'skipped':
        reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else '')
    elif report.outcome == 'failed':
        crash = getattr(report.longrepr, 'reprcrash', None)
        reason = (crash.message if crash else str(report.longrepr)).strip()
    with FILE.open('a') as file:
        one = dict(test=report.nodeid, outcome=report.outcome, reason=reason[:2000])
        file.write(json.dumps(one) + '\n')


def pytest_collectreport(report):
    """A file that cannot be imported is a failure by its name."""
    if report.outcome == 'failed' and 'PYTEST_XDIST_WORKER' not in os.environ:
        with FILE.open('a') as file:
            one = dict(test=report.nodeid, outcome='failed', reason=str(report.longrepr)[-2000:])
            file.write(json.dumps(one) + '\n')
