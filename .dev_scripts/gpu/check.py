"""Whether all is right on this machine's GPUs, and how fast it is: ten minutes at the most.

First the tests of tests/gpu, which are ``pytest -m gpu``: losses and gradients in float32 and under
mixed precision, compiled models, iterations that wait for nothing, resume to the last bit, banks,
NCCL with one and with all GPUs, shards. Then images a second, memory, compilation and the data
loader, in the configs' own precision and batch size. Writes report.md and report.json.

Without a GPU ``--device cpu --small`` shows that all of it runs; its numbers say nothing.
"""

import argparse
import datetime
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
for part in ('compatibility', 'benchmarks', 'gpu'):
    sys.path.insert(0, str(ROOT / '.dev_scripts' / part))

import junit  # noqa: E402
import speed  # noqa: E402
from measure import cell, machine, page, prepare  # noqa: E402

MINUTES = 10
TESTS = 240  # seconds
TITLES = dict(
    checks='Checks',
    speed='A training step, bfloat16',
    memory='Most memory of a step',
    compile='Compilation of the first config',
    loader='The data loader of the first config',
)


def run_tests(args, folder):
    """Rows of the table of checks."""
    report = folder / 'junit.xml'
    which = ['-m', 'gpu'] if args.device == 'cuda' else ['-m', 'not slow', '-k', 'cpu']
    command = [sys.executable, '-m', 'pytest', 'tests/gpu', *which, '-p', 'no:cacheprovider']
    command += ['-o', 'junit_family=xunit1', f'--junitxml={report}']
    try:
        subprocess.run(command, cwd=ROOT, timeout=TESTS)
    except subprocess.TimeoutExpired:
        return [dict(check='tests/gpu', outcome='failed', reason=f'took more than {TESTS} s')]
    return [
        dict(check=one.test.split('::')[-1], outcome=one.outcome, reason=one.reason)
        for one in junit.outcomes(report)
    ]


def write(found, left_out, args, took):
    """The report in both forms; returns the Markdown."""
    about = dict(
        machine(), gpus=torch.cuda.device_count(), cuda=torch.version.cuda,
        revision=junit.revision(), on=str(datetime.date.today()), minutes=round(took / 60, 1),
    )  # fmt: skip
    blocks = [', '.join(f'{key} {value}' for key, value in about.items()) + '.']
    for name, rows in found.items():
        cells = [map(cell, row.values()) for row in rows]
        blocks.append(f'**{TITLES[name]}**\n\n' + page.table(list(rows[0]), cells))
    if left_out:
        blocks.append(f'Left out, as the time was over: {", ".join(left_out)}.')
    text = '\n\n'.join(blocks)
    report = dict(about=about, left_out=left_out, tables=found)
    (args.out / 'report.json').write_text(json.dumps(report, indent=1))
    (args.out / 'report.md').write_text(f'# GPU\n\n{text}\n')
    return text


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--small', action='store_true', help='two images of 64 pixels')
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'gpu')
    parser.add_argument('--page', type=Path, help='page with a section "gpu" to write anew')
    args = parser.parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('torch sees no GPU here; --device cpu --small is a rehearsal without one')
    if args.page and (args.small or args.device == 'cpu'):
        parser.error('--page is for numbers of a GPU, not for a rehearsal')
    args.threads, args.warmup, args.rounds = torch.get_num_threads(), 3, 15
    args.configs, args.batch, args.size = speed.CONFIGS, None, 224
    if args.small:
        args.warmup, args.rounds = 0, 2
        args.configs, args.batch, args.size = speed.CONFIGS[:1], 2, 64
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    checks = run_tests(args, args.out)
    prepare(args)
    tables, left_out = speed.tables(args, start + 60 * (MINUTES - 1.5))
    text = write(dict(checks=checks, **tables), left_out, args, time.monotonic() - start)
    if args.page:
        page.replace(args.page, 'gpu', text)
    print(text)
    outcomes = Counter(row['outcome'] for row in checks)
    if outcomes['failed'] or not outcomes['passed'] or left_out:
        sys.exit('Some checks failed, or none ran, or the time was over.')


if __name__ == '__main__':
    main()
