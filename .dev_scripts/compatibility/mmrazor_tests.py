"""Run MMRazor's own unit tests of what distillation uses, with and without this package's bridges.

    git clone --branch v1.0.0 --depth 1 https://github.com/open-mmlab/mmrazor.git
    python .dev_scripts/compatibility/mmrazor_tests.py mmrazor

Each test runs three times: with MMRazor as it is, with a bare stand-in for what cannot be imported
(``.dev_scripts/compatibility/bare_stand_in.py``), and after ``import mmcskd``, which is
``python -m pytest -p mmcskd``. Writes its table into docs/compatibility.md; ends with 1 if a test
fails after ``import mmcskd``.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path

os.environ.setdefault('MMCSKD_OUTCOMES', os.devnull)  # of the plugin, which is only read with here

sys.path.append(str(Path(__file__).resolve().parents[1]))

from outcomes import of_collected
from page import replace
from torch_versions import PLUGIN, ROOT, first_line, revision

HERE = Path(__file__).parent
# In the order in which pytest takes them from all of MMRazor's tests: test_byot_distill.py needs what a
# file before it registers.
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


def parse_args():
    parser = argparse.ArgumentParser(
        description="Run MMRazor's own tests of its distillation parts."
    )
    parser.add_argument('checkout', type=Path, help="MMRazor's repository at v1.0.0, or its tests/")
    parser.add_argument('--page', type=Path, default=ROOT / 'docs' / 'compatibility.md')
    return parser.parse_args()


def tests_of(checkout):
    """The folder of MMRazor's tests, which has all parts."""
    for folder in (checkout / 'tests', checkout):
        missing = [part for part in PARTS if not (folder / part).exists()]
        if len(missing) < len(PARTS):
            break
    if missing:
        raise SystemExit(
            f'{checkout} has no {missing[0]}: expected the repository of MMRazor at v1.0.0, as from\n'
            'git clone --branch v1.0.0 --depth 1 https://github.com/open-mmlab/mmrazor.git'
        )
    return folder


def run(tests, plugin):
    """Run the tests of all parts in a process.

    Args:
        tests (Path): MMRazor's tests, in a folder without its package, so that the installed one is
            tested.
        plugin (tuple): Arguments of pytest.

    Returns:
        list: Outcomes, those of ``outcomes.py``.
    """
    outcomes = tests.parent / 'outcomes.jsonl'
    outcomes.unlink(missing_ok=True)
    outcomes.with_suffix('.collected').write_text('[]')
    path = os.pathsep.join([str(HERE), str(ROOT), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, '-W', 'ignore', '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    command += [*PLUGIN, '--tb=short', *plugin]
    done = subprocess.run(
        [*command, *(f'{tests.name}/{part}' for part in PARTS)],
        cwd=tests.parent,
        env=dict(os.environ, MMCSKD_OUTCOMES=str(outcomes), PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f'pytest ended with code {done.returncode}:\n{done.stdout[-3000:]}')
    return of_collected(outcomes)


def part_of(name):
    return next(title for part, title in PARTS.items() if name.startswith(f'tests/{part}'))


def table(results):
    """The section of the page.

    Args:
        results (dict): From each of the ``WAYS`` to its outcomes.
    """
    passed = {
        way: Counter(part_of(one['test']) for one in found if one['outcome'] == 'passed')
        for way, found in results.items()
    }
    everything = Counter(
        part_of(one['test']) for one in results['after `import mmcskd`'] if '::' in one['test']
    )
    lines = ['| passed | ' + ' | '.join([*WAYS, 'tests']) + ' |', '|---' * (len(WAYS) + 2) + '|']
    for title in [*PARTS.values(), None]:
        cells = [
            sum(count.values()) if title is None else count[title]
            for count in (*passed.values(), everything)
        ]
        lines.append(f'| {title or "all"} | ' + ' | '.join(map(str, cells)) + ' |')
    versions = ', '.join(
        f'{name} {metadata.version(name)}'
        for name in ('mmrazor', 'torch', 'mmengine', 'mmpretrain')
    )
    lines += ['', f'With {versions} and Python {platform.python_version()}, at revision']
    lines[-1] += f' {revision()}, on {datetime.date.today()}.'
    for way, found in results.items():
        reasons = {}
        for one in found:
            if one['outcome'] == 'failed':
                reasons.setdefault(message(one), []).append(one['test'])
        lines += ['', f'What fails {way}:', ''] if reasons else []
        lines += [
            f'- {len(tests)} {"files" if "::" not in tests[0] else "tests"}: "{reason}"'
            for reason, tests in reasons.items()
        ]
    return '\n'.join(lines)


def message(one):
    """The first sentence of an error; that of a file comes behind its traceback."""
    text = one['reason'] if '::' in one['test'] else one['reason'].splitlines()[-1]
    return first_line(text.removeprefix('E').strip()).split('. ')[0]


def main():
    args = parse_args()
    tests = tests_of(args.checkout)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / 'tests'
        shutil.copytree(tests, place, ignore=shutil.ignore_patterns('__pycache__'))
        for way, plugin in WAYS.items():
            results[way] = run(place, plugin)
            count = Counter(one['outcome'] for one in results[way])
            print(f'{way}: {json.dumps(count)}', flush=True)
    text = table(results)
    print(text)
    replace(args.page, 'mmrazor', text)
    return any(one['outcome'] == 'failed' for one in results['after `import mmcskd`'])


if __name__ == '__main__':
    sys.exit(main())
