"""Provoke the faults of docs/faults.md by kinds, and write what was tried and held into the page.

Each kind is files of tests, whose number is what was tried; of wrong configs, it is the number of
configs. The kinds that are not run keep their rows. --quick leaves out the slow tests.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / '.dev_scripts'), str(ROOT / '.dev_scripts' / 'compatibility')]

from junit import outcomes, revision  # noqa: E402
from page import replace, table  # noqa: E402

DENSE = 'detection and segmentation with one wrong key'
KINDS = {
    'kills and signals, resumed': ('checkpoints', 'resume', 'processes', 'shards'),
    'files and configs that are loaded': ('loading', 'payloads', 'saved_configs', 'paths'),
    'classes by other numbers': ('class_names',),
    'numbers that are not finite, broken data': ('numbers', 'data', 'views'),
    'checks of parts, of runs and of transforms': ('properties', 'run_checks', 'pipelines'),
    'models with one wrong key': ('fuzz',),
    'runs with one wrong key': ('run_fuzz',),
    DENSE: ('transfer_fuzz',),
    'long runs': ('growth',),
}
COLUMNS = ('kind', 'tried', 'held', 'did not', 'of the wrong configs', 'at revision', 'seed')


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='without the slow tests')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=list(KINDS))
    parser.add_argument('--mutations', type=int, default=330, help='wrong configs to try of a kind')
    parser.add_argument('--dense-python', help='with MMDetection and MMSegmentation')
    parser.add_argument('--page', default=str(ROOT / 'docs' / 'faults.md'), help='page to write')
    return parser.parse_args(arguments)


def files(kind):
    """The tests of a kind."""
    folder = 'transfer' if kind == DENSE else 'faults'
    return [f'tests/{folder}/test_{name}.py' for name in KINDS[kind]]


def provoke(kind, quick, environment, python=sys.executable):
    """Outcomes of the tests of a kind, and of its wrong configs, counted."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / 'report.xml'
        command = [python, '-m', 'pytest', '-q', *files(kind), f'--junitxml={report}']
        command += ['-o', 'junit_family=xunit1']
        # The quick test of wrong configs draws the first ones of the slow one.
        fuzz = any('fuzz' in name for name in KINDS[kind])
        command += ['-m', 'not slow'] if quick else ['-m', 'slow'] if fuzz else []
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        configs = Counter()
        for each in ElementTree.parse(report).iter('property'):
            if each.get('value').isdigit():  # Hypothesis has some of its own
                configs[each.get('name')] += int(each.get('value'))
        return Counter(each.outcome for each in outcomes(report)), configs


def row(kind, tests, configs, at):
    """A row of the table: of configs, those that ended in an error that names no key did not hold.

    What of them was accepted is right, or the tests do not know better: it trained and validated.
    """
    tried, wrong = tests['passed'] + tests['failed'], tests['failed']
    if configs:
        tried, wrong = sum(configs.values()), configs['wrong']
    told = ', '.join(f'{number} {what}' for what, number in sorted(configs.items()))
    return (kind, tried, tried - wrong, wrong, told, *at)


def kept(page):
    """The rows of the table as it stands, by kind."""
    section = page.read_text(encoding='utf-8').partition('<!-- campaign -->')[2]
    lines = section.partition('<!-- /campaign -->')[0].splitlines()
    rows = [tuple(cell.strip() for cell in line.strip('|').split('|')) for line in lines]
    return {cells[0]: cells for cells in rows if len(cells) == len(COLUMNS)}


def main(arguments=None):
    args = parse_args(arguments)
    seed = os.environ.get('MMCSKD_FAULTS_SEED') or str(int.from_bytes(os.urandom(3), 'big'))
    environment = dict(os.environ, MMCSKD_FAULTS_SEED=seed, MMCSKD_FAULTS_FUZZ=str(args.mutations))
    rows, at = kept(Path(args.page)), (revision(), seed)
    for kind in args.kinds:
        python = args.dense_python or sys.executable if kind == DENSE else sys.executable
        rows[kind] = row(kind, *provoke(kind, args.quick, environment, python), at)
        text = table(COLUMNS, [rows[each] for each in KINDS if each in rows])
        replace(Path(args.page), 'campaign', text)
    print(text)


if __name__ == '__main__':
    main()
