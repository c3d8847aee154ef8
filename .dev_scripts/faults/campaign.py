"""Provoke the faults of docs/faults.md by kinds, and write what held into the page.

Each kind is files of tests/faults; --quick leaves out the slow tests.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / '.dev_scripts'), str(ROOT / '.dev_scripts' / 'compatibility')]

from junit import outcomes, revision  # noqa: E402
from page import replace, table  # noqa: E402

FAULTS = 'tests/faults/test_{}.py'
KINDS = {
    'kills and signals, resumed': ('checkpoints', 'resume', 'processes', 'shards'),
    'files and configs that are loaded': ('loading', 'payloads', 'saved_configs', 'paths'),
    'classes by other numbers': ('class_names',),
    'numbers that are not finite, broken data': ('numbers', 'data', 'views'),
    'wrong configs': ('fuzz', 'run_fuzz', 'properties', 'run_checks'),
    'long runs': ('growth',),
}


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='without the slow tests')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS))
    parser.add_argument('--mutations', type=int, default=5000, help='wrong configs to try')
    parser.add_argument('--page', default=str(ROOT / 'docs' / 'faults.md'), help='page to write')
    return parser.parse_args(arguments)


def provoke(kind, quick, environment):
    """Outcomes of the tests of a kind, counted."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.xml'
        command = [sys.executable, '-m', 'pytest', '-q', *map(FAULTS.format, KINDS[kind])]
        command += ['-o', 'junit_family=xunit1', f'--junitxml={report}']
        command += ['-m', 'not slow'] if quick else []
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        return Counter(each.outcome for each in outcomes(report))


def main(arguments=None):
    args = parse_args(arguments)
    seed = os.environ.get('MMCSKD_FAULTS_SEED') or str(int.from_bytes(os.urandom(3), 'big'))
    environment = dict(os.environ, MMCSKD_FAULTS_SEED=seed, MMCSKD_FAULTS_FUZZ=str(args.mutations))
    rows = []
    for kind in args.kinds:
        count = provoke(kind, args.quick, environment)
        rows.append((kind, count['passed'] + count['failed'], count['passed'], count['failed']))
    told = 'without the slow tests' if args.quick else f'with {args.mutations} wrong configs'
    text = table(('kind', 'tests', 'held', 'did not'), rows)
    text += f'\n\nAt revision {revision()}, {told}, `MMCSKD_FAULTS_SEED={seed}`.'
    replace(Path(args.page), 'campaign', text)
    print(text)


if __name__ == '__main__':
    main()
