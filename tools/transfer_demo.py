"""Detection and segmentation on real digits in small: the table of docs/transfer.md.

Each run is tools/train.py and then tools/test.py, in a process of its own with one thread. What is
done already, by its file in the work directory, is not done again, and a run cut short goes on from
its last checkpoint. What a run prints is in its folder, log.txt.
"""

import argparse
import json
import multiprocessing
import os
import runpy
import statistics
import sys
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import torch

import mmcskd  # noqa: F401, registers everything

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs' / 'transfer' / 'demo'
ARMS = ('from scratch', 'from a distilled backbone', 'with dense CSKD')


class Task(NamedTuple):
    """Configs of one comparison, and what it is measured by."""

    teacher: str
    plain: str
    dense: str
    metrics: Tuple[str, ...]


TASKS = dict(
    segmenter=Task('fcn_resnet18', 'segmenter_vit', 'cskd_segmenter_vit_fcn', ('mIoU',)),
    retinanet=Task(
        'retinanet_resnet18', 'retinanet_vit', 'cskd_retinanet_vit_resnet18', ('coco/bbox_mAP',)
    ),
    upernet=Task('fcn_resnet18', 'upernet_vit', 'cskd_upernet_vit_fcn', ('mIoU',)),
    mask_rcnn=Task(
        'faster-rcnn_resnet18',
        'mask-rcnn_vit',
        'cskd_mask-rcnn_vit_rpn-resnet18',
        ('coco/bbox_mAP', 'coco/segm_mAP'),
    ),
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, a core each')
    parser.add_argument('--work-dir', default='work_dirs/transfer')
    return parser.parse_args()


class Run(NamedTuple):
    """One training: a config and a seed; a teacher has none."""

    config: str
    seed: Optional[int]
    work_dir: str

    @property
    def folder(self):
        return Path(self.work_dir) / (
            self.config if self.seed is None else f'{self.config}_seed{self.seed}'
        )

    def scores(self):
        """Its metrics in percent, by the names the toolboxes give them; None if not yet tested."""
        result = self.folder / 'test.json'
        if not result.is_file():
            return None
        found = json.loads(result.read_text())['student']
        return {k: v if k == 'mIoU' else 100 * v for k, v in found.items()}


def call(tool, *arguments):
    """Run a tool in this process."""
    sys.argv = [str(part) for part in (TOOLS / tool, *arguments)]
    runpy.run_path(sys.argv[0], run_name='__main__')


def work(run):
    """Train and test one config, in a process that is for this alone."""
    torch.set_num_threads(1)
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / 'log.txt').open('a') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    config = CONFIGS / f'{run.config}.py'
    seed = [] if run.seed is None else ['--cfg-options', f'randomness.seed={run.seed}']
    call('train.py', config, '--work-dir', run.folder, '--no-validate', '--resume', *seed)
    checkpoint = (run.folder / 'last_checkpoint').read_text().strip()
    partial = run.folder / 'test.partial.json'
    call('test.py', config, checkpoint, '--work-dir', run.folder / 'test', '--out', partial)
    partial.replace(run.folder / 'test.json')
    return run


def bring_to_an_end(runs, jobs):
    """Do what is not done, in order, several at a time."""
    pending = [run for run in dict.fromkeys(runs) if run.scores() is None]
    print(f'{len(set(runs)) - len(pending)} of {len(set(runs))} runs are done.', flush=True)
    # Forked, so that the toolboxes are imported once.
    with multiprocessing.get_context('fork').Pool(jobs, maxtasksperchild=1) as pool:
        for count, run in enumerate(pool.imap_unordered(work, pending), 1):
            values = ', '.join(
                f'{k} {v:.1f}' for k, v in run.scores().items() if 'mA' in k or 'mI' in k
            )
            print(f'[{count}/{len(pending)}] {run.folder.name}: {values}', flush=True)


def table(runs, args):
    """Print a row for each task, metric and arm."""
    print(f'\n| task | metric | arm | {" | ".join(f"seed {s}" for s in args.seeds)} | mean |')
    print('|---' * (len(args.seeds) + 4) + '|')
    for task in args.tasks:
        for metric in TASKS[task].metrics:
            for arm, of_arm in runs[task].items():
                scores = [run.scores().get(metric) for run in of_arm]
                if None in scores:
                    continue  # a teacher without masks
                cells = [f'{score:.1f}' for score in scores]
                cells += [''] * (len(args.seeds) - len(cells)) + [f'{statistics.mean(scores):.1f}']
                print(f'| {task} | {metric} | {arm} | {" | ".join(cells)} |')


def main():
    args = parse_args()
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401

    runs = {}
    for task in args.tasks:
        teacher, plain, dense, _ = TASKS[task]
        runs[task] = {'the teacher alone': [Run(teacher, None, args.work_dir)]}
        for arm, name in zip(ARMS, (plain, f'{plain}_distilled', dense)):
            runs[task][arm] = [Run(name, seed, args.work_dir) for seed in args.seeds]
    call('make_digit_scenes.py', CONFIGS / 'digit_scenes.py')
    teachers = [runs[task]['the teacher alone'][0] for task in args.tasks]
    bring_to_an_end(teachers, args.jobs)
    # Seed by seed, so that a table cut short has whole comparisons.
    students = [
        runs[task][arm][index]
        for index in range(len(args.seeds))
        for task in args.tasks
        for arm in ARMS
    ]
    bring_to_an_end(students, args.jobs)
    table(runs, args)


if __name__ == '__main__':
    main()
