"""Train and test the transfer demo, arm by arm and seed by seed, and print the table in docs/transfer.md.

What is done already, by its file in the work directory, is not done again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / 'configs' / 'transfer' / 'demo'
# Task → the configs of the teacher, from scratch (and `_distilled`), with dense CSKD; the metric second.
TASKS = dict(
    upernet=('fcn_resnet18', 'mIoU', 'upernet_vit', 'cskd_upernet_vit_fcn'),
    segmenter=('fcn_resnet18', 'mIoU', 'segmenter_vit', 'cskd_segmenter_vit_fcn'),
    retinanet=(
        'retinanet_resnet18',
        'coco/bbox_mAP',
        'retinanet_vit',
        'cskd_retinanet_vit_resnet18',
    ),
)
ARMS = ('from scratch', 'from a distilled backbone', 'with dense CSKD')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=['segmenter', 'retinanet'])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--processes', type=int, default=1, help='of each training')
    parser.add_argument('--work-dir', default='work_dirs/transfer')
    return parser.parse_args()


def run(*command):
    environment = dict(os.environ, PYTHON=sys.executable)
    path = os.environ.get('PYTHONPATH')
    environment['PYTHONPATH'] = f'{ROOT}:{path}' if path else str(ROOT)
    subprocess.run([str(part) for part in command], check=True, env=environment)


def score(name, seed, args, metric):
    """Train and test one config with one seed; its metric in percent."""
    folder = Path(args.work_dir) / (name if seed is None else f'{name}_seed{seed}')
    result = folder / 'test.json'
    config = CONFIGS / f'{name}.py'
    if not result.is_file():
        options = [] if seed is None else ['--cfg-options', f'randomness.seed={seed}']
        train = [ROOT / 'tools' / 'dist_train.sh', config, args.processes, '--work-dir', folder]
        run('bash', *train, *options)
        checkpoint = Path((folder / 'last_checkpoint').read_text().strip())
        test = [sys.executable, ROOT / 'tools' / 'test.py', config, checkpoint]
        run(*test, '--work-dir', folder / 'test', '--out', result)
    value = json.loads(result.read_text())['student'][metric]
    return value if metric == 'mIoU' else 100 * value


def main():
    args = parse_args()
    run(sys.executable, ROOT / 'tools' / 'make_digit_scenes.py', CONFIGS / 'digit_scenes.py')
    rows = []
    for task in args.tasks:
        teacher, metric, plain, dense = TASKS[task]
        rows.append((task, 'the teacher alone', [score(teacher, None, args, metric)]))
        names = plain, f'{plain}_distilled', dense
        # Seed by seed, so that a run cut short has whole comparisons.
        scores = [[score(name, seed, args, metric) for name in names] for seed in args.seeds]
        rows += [(task, arm, list(of_arm)) for arm, of_arm in zip(ARMS, zip(*scores))]
    print(f'\n| task | arm | {" | ".join(f"seed {seed}" for seed in args.seeds)} | mean |')
    print('|---' * (len(args.seeds) + 3) + '|')
    for task, arm, scores in rows:
        cells = [f'{value:.1f}' for value in scores] + [''] * (len(args.seeds) - len(scores))
        print(f'| {task} | {arm} | {" | ".join(cells)} | {statistics.mean(scores):.1f} |')


if __name__ == '__main__':
    main()
