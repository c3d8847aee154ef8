"""Run MMRazor's own unit tests of what distillation uses, with and without this package's bridges.

    git clone --branch v1.0.0 --depth 1 https://github.com/open-mmlab/mmrazor.git
    python .dev_scripts/compatibility/mmrazor_tests.py mmrazor

Each test runs three times: with MMRazor as it is, with a bare stand-in for what cannot be imported
(``bare_stand_in.py``), and after ``import mmcskd``, which is ``python -m pytest -p mmcskd``. Writes
its table into docs/compatibility.md; ends with 1 if a test fails after ``import mmcskd``.
"""

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path

from junit import ROOT, outcomes, revision

sys.path.append(str(ROOT / '.dev_scripts'))

from page import replace

# In the order in which pytest takes them from all of MMRazor's tests: test_byot_distill.py needs
# what a file before it registers.
PARTS = {
    'test_core/test_delivers': 'deliveries',
    'test_core/test_recorders': 'recorders',
    'test_models/test_algorithms/test_single_teacher_distill.py': '`SingleTeacherDistill`',
    'test_models/test_architectures/test_connectors': 'connectors',
    'test_models/test_distillers': 'distillers',
    'test_models/test_losses': 'losses',
    'test_runners/test_distill_val_loop.py': 'validation loops',
}
WAYS = {
    'MMRazor alone': (),
    'with a bare stand-in': ('-p', 'bare_stand_in'),
    'after `import mmcskd`': ('-p', 'mmcskd'),
}


def tests_of(checkout):
    """The folder of MMRazor's tests, which has all parts."""
    for folder in (checkout / 'tests', checkout):
        missing = [part for part in PARTS if not (folder / part).exists()]
        if len(missing) < len(PARTS):
            break
    if missing:
        raise SystemExit(
            f'{checkout} has no {missing[0]}: expected the repository of MMRazor at v1.0.0, as from'
            '\ngit clone --branch v1.0.0 --depth 1 https://github.com/open-mmlab/mmrazor.git'
        )
    return folder


def run(tests, plugin):
    """The outcomes of all parts in a process, in a folder without MMRazor's package."""
    report = tests.parent / 'junit.xml'
    path = os.pathsep.join(
        [str(Path(__file__).parent), str(ROOT), os.environ.get('PYTHONPATH', '')]
    )
    command = [sys.executable, '-W', 'ignore', '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    command += ['--continue-on-collection-errors', '--tb=short', *plugin]
    command += ['-o', 'junit_family=xunit1', f'--junitxml={report}']
    done = subprocess.run(
        [*command, *(f'{tests.name}/{part}' for part in PARTS)],
        cwd=tests.parent,
        env=dict(os.environ, PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f'pytest ended with code {done.returncode}:\n{done.stdout[-3000:]}')
    return outcomes(report)


def table(results):
    """The section of the page, from the outcomes of each of the ``WAYS``."""

    def count(found):
        parts = (title for one in found for part, title in PARTS.items() if part in one.file)
        return Counter({None: len(found)}) + Counter(parts)

    columns = [
        count([one for one in found if one.outcome == 'passed']) for found in results.values()
    ]
    columns.append(count([one for one in results['after `import mmcskd`'] if one.test]))
    lines = ['| passed | ' + ' | '.join([*WAYS, 'tests']) + ' |', '|---' * (len(WAYS) + 2) + '|']
    for title in [*PARTS.values(), None]:
        cells = [title or 'all', *(column[title] for column in columns)]
        lines.append(f'| {" | ".join(map(str, cells))} |')
    names = ('mmrazor', 'torch', 'mmengine', 'mmpretrain')
    versions = ', '.join(f'{name} {metadata.version(name)}' for name in names)
    lines += [
        '',
        f'With {versions} and Python {platform.python_version()}, at revision {revision()}, '
        f'on {datetime.date.today()}.',
    ]
    for way, found in results.items():
        failed = [one for one in found if one.outcome == 'failed']
        reasons = Counter(
            ('tests' if one.test else 'files', one.reason.split('. ')[0]) for one in failed
        )
        lines += ['', f'What fails {way}:', ''] if failed else []
        lines += [f'- {n} {what}: "{reason}"' for (what, reason), n in reasons.items()]
    return '\n'.join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkout', type=Path, help="MMRazor's repository at v1.0.0, or its tests/")
    parser.add_argument('--page', type=Path, default=ROOT / 'docs' / 'compatibility.md')
    args = parser.parse_args(argv)
    tests = tests_of(args.checkout)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / 'tests'
        shutil.copytree(tests, place, ignore=shutil.ignore_patterns('__pycache__'))
        results = {way: run(place, plugin) for way, plugin in WAYS.items()}
    text = table(results)
    print(text)
    replace(args.page, 'mmrazor', text)
    return any(one.outcome == 'failed' for one in results['after `import mmcskd`'])


if __name__ == '__main__':
    sys.exit(main())
