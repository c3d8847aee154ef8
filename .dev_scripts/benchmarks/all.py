"""Every number of docs/performance.md: run the benchmarks and write their tables into the page.

    python .dev_scripts/benchmarks/all.py

takes about half an hour on two cores, during which nothing else should run. With names only those
scripts are run, and only their tables written.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from measure import as_table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / '.dev_scripts'))

from page import replace  # noqa: E402

# In this order: the budget reads what the bank's wrote.
SCRIPTS = ('memory', 'step', 'teacher', 'hooks', 'bank', 'scale', 'budget')


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('scripts', nargs='*', metavar='SCRIPT', help=f'of {", ".join(SCRIPTS)}')
    parser.add_argument('--page', type=Path, default=ROOT / 'docs' / 'performance.md')
    parser.add_argument('--results', type=Path, default=Path('work_dirs/benchmarks'))
    args = parser.parse_args(arguments)
    for name in args.scripts:
        if name not in SCRIPTS:
            parser.error(f'there is no benchmark "{name}", but {", ".join(SCRIPTS)}')
    return args


def write(page, results):
    """Write the tables of one script into the page.

    Args:
        page (Path): With a section for each table and one for the machine.
        results (Path): The script's JSON.
    """
    found = json.loads(results.read_text())
    for name, rows in found['tables'].items():
        replace(page, name, as_table(rows))
    about = ', '.join(f'{key} {value}' for key, value in found['machine'].items())
    replace(page, 'machine', about + '.')


def main(arguments=None):
    args = parse_args(arguments)
    for name in args.scripts or SCRIPTS:
        results = args.results / f'{name}.json'
        subprocess.run([sys.executable, HERE / f'{name}.py', '--out', results], check=True)
        write(args.page, results)


if __name__ == '__main__':
    main()
