"""A pytest plugin that keeps each test's outcome in a file, and runs only files that lack some.

``MMCSKD_OUTCOMES`` names the file, one JSON object a line, ``MMCSKD_REVISION`` what is tested. Test
files of which all passed or were skipped in an earlier run are left out; those in which one failed, or
was under way when it ended, run again.
"""

import json
import os
from pathlib import Path

FILE = Path(os.environ['MMCSKD_OUTCOMES'])
COLLECTED = FILE.with_suffix('.collected')
worker = None  # of xdist, if this process is one


def read(file):
    """The last outcome of each test.

    Args:
        file (Path): As this plugin writes it.

    Returns:
        dict: From the test's name to ``dict(test, outcome, reason, revision)``; the outcome is
        "passed", "skipped" or "failed".
    """
    found = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        one = json.loads(line)
        found.pop(one['test'], None)
        found[one['test']] = one
    return found


def of_collected(file):
    """The last outcome of each test that was found last; a file that could not be imported is one.

    Args:
        file (Path): As for :func:`read`.

    Returns:
        list: Of the dicts of :func:`read`.
    """
    names = json.loads(file.with_suffix('.collected').read_text())
    files = {name.split('::')[0] for name in names}
    names = set(names)
    return [
        one
        for name, one in read(file).items()
        if name in names or ('::' not in name and name not in files)
    ]


def pytest_configure(config):
    # Not by the environment, which a test's own processes inherit.
    global worker
    worker = getattr(config, 'workerinput', {}).get('workerid')


def pytest_collection_modifyitems(config, items):
    if worker in (None, 'gw0'):  # all find the same
        COLLECTED.write_text(json.dumps([item.nodeid for item in items]))
    done = {name for name, one in read(FILE).items() if one['outcome'] != 'failed'}
    # Tests of a file may need what those before them made.
    again = {item.path for item in items if item.nodeid not in done}
    left_out = [item for item in items if item.path not in again]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.path in again]


def write(test, outcome, reason):
    revision = os.environ.get('MMCSKD_REVISION', '')
    one = dict(test=test, outcome=outcome, reason=reason, revision=revision)
    with FILE.open('a') as file:
        file.write(json.dumps(one) + '\n')


def pytest_runtest_logreport(report):
    if worker is not None:
        return  # the process that started it writes
    if report.when != 'call' and report.outcome == 'passed':
        return
    reason = ''
    if report.outcome == 'skipped':
        reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else '')
    elif report.outcome == 'failed':
        crash = getattr(report.longrepr, 'reprcrash', None)
        reason = (crash.message if crash else str(report.longrepr)).strip()
    write(report.nodeid, report.outcome, reason[:2000])


def pytest_collectreport(report):
    """A file that cannot be imported is a failure by its name."""
    if report.outcome == 'failed' and worker is None:
        write(report.nodeid, 'failed', str(report.longrepr)[-2000:])
