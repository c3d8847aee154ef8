"""Every number of docs/performance.md: run the benchmarks and write their tables into the page.

Nothing else should run meanwhile. With names only those scripts run, and only their tables are
written.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = ('memory', 'step', 'teacher', 'hooks', 'bank', 'scale', 'budget')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('scripts', nargs='*', metavar='SCRIPT', help=f'of {", ".join(SCRIPTS)}')
    parser.add_argument('--page', type=Path, default=HERE.parents[1] / 'docs' / 'performance.md')
    parser.add_argument('--results', type=Path, default=Path('work_dirs/benchmarks'))
    args = parser.parse_args(argv)
    for name in args.scripts or SCRIPTS:
        if name not in SCRIPTS:
            parser.error(f'there is no benchmark "{name}", but {", ".join(SCRIPTS)}')
        written = ('--out', args.results / f'{name}.json', '--page', args.page)
        subprocess.run([sys.executable, HERE / f'{name}.py', *written], check=True)


if __name__ == '__main__':
    main()
