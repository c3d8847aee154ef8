"""Run the tests against several versions of torch, each in an environment of its own.

    python .dev_scripts/compatibility/torch_versions.py

makes ``.venv-torch2.0.1`` and ``.venv-torch2.14.1`` in the checkout where they are missing, runs the
main suite in each, WORKERS (2) files at a time, and writes the table of docs/compatibility.md. Files
that passed are not run again as long as package, configs, tools and tests are the same, so an interrupted
run goes on where it was and a repeated one is quick; ``--keep-passed`` keeps it over changes too, and
the row then says how many tests ran at which revision; ``--fresh`` keeps nothing. The rows of versions
that are not run now stay as they are.

    python .dev_scripts/compatibility/torch_versions.py --torch 2.0.1
    python .dev_scripts/compatibility/torch_versions.py --torch 'torch==2.6.0 torchvision==0.21.0' -- -k losses
"""

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault('MMCSKD_OUTCOMES', os.devnull)  # of the plugin, which is only read with here

sys.path.append(str(Path(__file__).resolve().parents[1]))

from outcomes import of_collected
from page import replace, section

ROOT = Path(__file__).resolve().parents[2]
# Builds that belong together. Those of 2.0 to 2.2 were compiled for NumPy 1.
KNOWN = {
    '2.0.1': 'torch==2.0.1 torchvision==0.15.2 numpy<2',
    '2.14.1': 'torch==2.14.1 torchvision==0.29.1',
}
TESTED = ('mmcskd', 'configs', 'tools', 'tests', 'setup.py', 'pyproject.toml')
PLUGIN = ('-p', 'outcomes', '--continue-on-collection-errors')
# As tools/run_tests.sh.
PARALLEL = ('-n', os.environ.get('WORKERS', '2'), '--dist', 'loadfile', '--max-worker-restart=0')
VERSIONS = """
import json, platform, numpy, torch, torchvision
print(json.dumps(dict(torch=torch.__version__, torchvision=torchvision.__version__,
                      python=platform.python_version(), numpy=numpy.__version__)))
"""
HEAD = '| torch | torchvision | Python | NumPy | passed | skipped | failed | at revision | on |'


def parse_args():
    parser = argparse.ArgumentParser(description='Run the tests against several versions of torch.')
    parser.add_argument(
        '--torch', nargs='+', default=list(KNOWN), metavar='VERSION',
        help=f'of {", ".join(KNOWN)}, or what pip is to install, such as '
        '"torch==2.6.0 torchvision==0.21.0" (default: the oldest and the newest)',
    )  # fmt: skip
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        '--keep-passed',
        action='store_true',
        help='run only files in which a test failed, though something changed',
    )
    keep.add_argument('--fresh', action='store_true', help='run everything')
    parser.add_argument('--page', type=Path, default=ROOT / 'docs' / 'compatibility.md')
    parser.add_argument(
        '--results', type=Path, default=ROOT / 'work_dirs' / 'compatibility', help='kept outcomes'
    )
    parser.add_argument('pytest', nargs='*', help='after --: arguments of pytest; writes no table')
    return parser.parse_args()


def state():
    """A digest of all that the outcome of a test depends on, within the checkout."""
    digest = hashlib.sha256()
    for name in TESTED:
        place = ROOT / name
        files = sorted(place.rglob('*')) if place.is_dir() else [place]
        for file in files:
            if file.is_file() and '__pycache__' not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()


def revision():
    """The commit of the checkout, with "+" if what is tested was changed since; else a digest of it."""

    def git(*arguments):
        return subprocess.run(
            ['git', *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        changed = git('status', '--porcelain', '--', *TESTED)
        return git('rev-parse', '--short=10', 'HEAD') + ('+' if changed else '')
    except (OSError, subprocess.CalledProcessError):
        return f'sha256:{state()[:10]}'


def environment(version):
    """Make or refresh the environment of one version.

    Args:
        version (str): A key of ``KNOWN`` or what pip is to install.

    Returns:
        tuple: Its name and its interpreter.
    """
    wanted = KNOWN.get(version, version)
    if not wanted.startswith('torch=='):
        raise SystemExit(
            f'--torch {version}: expected one of {", ".join(KNOWN)} or what pip is to install, '
            'beginning with "torch==".'
        )
    name = wanted.split()[0].replace('==', '')
    folder = f'.venv-{name}'
    command = ['bash', str(ROOT / 'tools' / 'setup_env.sh')]
    subprocess.run(command, env=dict(os.environ, VENV=folder, TORCH=wanted), check=True)
    return name, ROOT / folder / 'bin' / 'python'


def run(name, python, args):
    """Run the files whose tests have not all passed yet.

    Returns:
        dict: Of the environment and its outcomes.
    """
    args.results.mkdir(parents=True, exist_ok=True)
    outcomes = args.results / f'{name}.jsonl'
    summary = args.results / f'{name}.json'
    before = json.loads(summary.read_text()) if summary.exists() else {}
    now = state()
    if args.fresh or not (args.keep_passed or before.get('state', now) == now):
        outcomes.unlink(missing_ok=True)
    versions = subprocess.run(
        [python, '-W', 'ignore', '-c', VERSIONS], stdout=subprocess.PIPE, text=True, check=True
    )
    found = dict(json.loads(versions.stdout), state=now, date=str(datetime.date.today()))
    summary.write_text(json.dumps(found))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])
    code = subprocess.run(
        [python, '-m', 'pytest', *PLUGIN, *PARALLEL, *args.pytest],
        cwd=ROOT,
        env=dict(
            os.environ, MMCSKD_OUTCOMES=str(outcomes), MMCSKD_REVISION=revision(), PYTHONPATH=path
        ),
    ).returncode
    if code not in (0, 1, 5):  # all passed, some failed, none was left to run
        raise SystemExit(f'{name}: pytest ended with code {code}; run the command again to go on.')
    return dict(found, outcomes=of_collected(outcomes))


def tell(one):
    """What the page says of a version: its row, and what was skipped or failed.

    Args:
        one (dict): Of :func:`run`.

    Returns:
        tuple: The version without its build, the row, and the paragraphs.
    """
    count = Counter(test['outcome'] for test in one['outcomes'])
    at = Counter(test['revision'] for test in one['outcomes'])
    several = ', '.join(f'{name} ({times})' for name, times in at.most_common())
    cells = [one[key] for key in ('torch', 'torchvision', 'python', 'numpy')]
    cells += [count['passed'], count['skipped'], count['failed']]
    cells += [several if len(at) > 1 else next(iter(at), ''), one['date']]
    version = one['torch'].split('+')[0]
    reasons = Counter(
        test['reason'].replace('Skipped: ', '')
        for test in one['outcomes'] if test['outcome'] == 'skipped'
    )  # fmt: skip
    parts = {
        'Skipped': [f'- {times} × {reason}' for reason, times in reasons.most_common()],
        'Failed': [
            f'- `{test["test"]}`: {first_line(test["reason"])}'
            for test in one['outcomes'] if test['outcome'] == 'failed'
        ],
    }  # fmt: skip
    notes = [
        '\n'.join([f'{what} with torch {version}:\n', *lines])
        for what, lines in parts.items() if lines
    ]  # fmt: skip
    return version, '| ' + ' | '.join(map(str, cells)) + ' |', notes


def kept(text):
    """What :func:`tell` told of each version, out of the page.

    Args:
        text (str): The section of the page.

    Returns:
        dict: From the version to its row and paragraphs.
    """
    rows = [line for line in text.splitlines() if line.startswith('| ') and line != HEAD]
    found = {row.split()[1].split('+')[0]: (row, []) for row in rows}
    blocks = text.split('\n\n')
    for title, lines in zip(blocks, blocks[1:]):
        version = title.rpartition('with torch ')[2].rstrip(':')
        if title.startswith(('Skipped with torch ', 'Failed with torch ')) and version in found:
            found[version][1].append(f'{title}\n\n{lines}')
    return found


def table(versions):
    """The section of the page.

    Args:
        versions (dict): Of :func:`kept`.
    """
    order = sorted(versions, key=lambda version: [int(part) for part in version.split('.')[:2]])
    rows = [HEAD, '|' + '---|' * (HEAD.count('|') - 1), *(versions[name][0] for name in order)]
    return '\n\n'.join(['\n'.join(rows), *(note for name in order for note in versions[name][1])])


def first_line(text):
    return next((line.strip() for line in text.splitlines() if line.strip()), 'no message')[:200]


def main():
    args = parse_args()
    versions, failed = kept(section(args.page, 'versions')), False
    for name in args.torch:
        name, python = environment(name)
        print(f'{name}: running the tests', flush=True)
        one = run(name, python, args)
        version, row, notes = tell(one)
        versions[version] = row, notes
        failed |= any(test['outcome'] == 'failed' for test in one['outcomes'])
        if not args.pytest:  # each as it is there, as the next one may take an hour
            replace(args.page, 'versions', table(versions))
    print(table(versions))
    return failed


if __name__ == '__main__':
    sys.exit(main())
