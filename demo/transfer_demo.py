"""Detection and segmentation on real digits in small: the table of docs/transfer.md.

Each run is tools/train.py and then tools/test.py, in its own process with one thread. A run whose
result file is in the work directory is not repeated; an interrupted one resumes from its last
checkpoint. A run's output is in log.txt of its folder. The table has the finished runs.
"""

import argparse
import json
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import torch

import mmcskd  # noqa: F401, registers everything

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / '.dev_scripts'))

from page import replace  # noqa: E402
from paired import difference, summary  # noqa: E402
from processes import side_by_side  # noqa: E402

CONFIGS = ROOT / 'configs' / 'transfer' / 'demo'
PAGE = ROOT / 'docs' / 'transfer.md'
ARMS = ('from scratch', 'from a distilled backbone', 'with dense CSKD')


class Task(NamedTuple):
    """Configs and metric of one comparison."""

    name: str
    teacher: str
    plain: str
    dense: str
    metrics: Tuple[str, ...]


MAP, MASK_MAP = 'coco/bbox_mAP', 'coco/segm_mAP'
TASKS = dict(
    segmenter=Task(
        'Segmenter', 'fcn_resnet18', 'segmenter_vit', 'cskd_segmenter_vit_fcn', ('mIoU',)
    ),
    retinanet=Task(
        'RetinaNet', 'retinanet_resnet18', 'retinanet_vit', 'cskd_retinanet_vit_resnet18', (MAP,)
    ),
    upernet=Task('UPerNet', 'fcn_resnet18', 'upernet_vit', 'cskd_upernet_vit_fcn', ('mIoU',)),
    mask_rcnn=Task(
        'Mask R-CNN',
        'faster-rcnn_resnet18',
        'mask-rcnn_vit',
        'cskd_mask-rcnn_vit_rpn-resnet18',
        (MAP, MASK_MAP),
    ),
)
UNITS = {'mIoU': 'mIoU', MAP: 'box mAP', MASK_MAP: 'mask mAP'}


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS))
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, a core each')
    parser.add_argument('--work-dir', default='work_dirs/transfer')
    parser.add_argument('--page', type=Path, default=PAGE, help='where the table is written')
    return parser.parse_args(arguments)


class Run(NamedTuple):
    """One training: a config and a seed; a teacher has none."""

    work_dir: str
    config: str
    seed: Optional[int] = None
    teacher: Optional[str] = None
    """The config of the teacher, of a run that has one."""

    @property
    def folder(self):
        name = self.config if self.seed is None else f'{self.config}_seed{self.seed}'
        return Path(self.work_dir) / name

    @property
    def checkpoint(self):
        """The last one."""
        return (self.folder / 'last_checkpoint').read_text().strip()

    def options(self):
        """What differs from the config."""
        found = [] if self.seed is None else [f'randomness.seed={self.seed}']
        if self.teacher is not None:
            checkpoint = Run(self.work_dir, self.teacher).checkpoint
            found.append(f'model.teacher_ckpt={checkpoint}')
        return ['--cfg-options', *found] if found else []

    def scores(self):
        """Its metrics in percent, by the names the toolboxes give them; empty if not yet tested."""
        result = self.folder / 'test.json'
        if not result.is_file():
            return {}
        found = json.loads(result.read_text())['student']
        return {k: found[k] if k == 'mIoU' else 100 * found[k] for k in UNITS if k in found}


def runs_of(task, seeds, work_dir):
    """The runs of a task, by arm."""
    _, teacher, plain, dense, _ = TASKS[task]
    found = {'the teacher alone': [Run(work_dir, teacher)]}
    for arm, config in zip(ARMS, (plain, f'{plain}_distilled', dense)):
        taught = teacher if config == dense else None
        found[arm] = [Run(work_dir, config, seed, taught) for seed in seeds]
    return found


def call(script, *arguments):
    """Run a script in this process."""
    runpy.run_path(str(ROOT / script))['main']([str(each) for each in arguments])


def work(run):
    """Train and test one config, in a process that is for this alone."""
    torch.set_num_threads(1)
    run.folder.mkdir(parents=True, exist_ok=True)
    config, options = CONFIGS / f'{run.config}.py', run.options()
    partial, test = run.folder / 'test.partial.json', run.folder / 'test'
    with (run.folder / 'log.txt').open('a') as log, redirect_stdout(log), redirect_stderr(log):
        train = ('--work-dir', run.folder, '--no-validate', '--resume', *options)
        call('tools/train.py', config, *train)
        call('tools/test.py', config, run.checkpoint, '--work-dir', test, '--out', partial)
    partial.replace(run.folder / 'test.json')
    return run


def bring_to_an_end(runs, jobs):
    """Do the runs that are left, in order, several at a time."""
    runs = list(dict.fromkeys(runs))
    pending = [run for run in runs if not run.scores()]
    print(f'{len(runs) - len(pending)} of {len(runs)} runs are done.', flush=True)
    for count, (run, _) in enumerate(side_by_side(work, pending, jobs), 1):
        values = ', '.join(f'{UNITS[key]} {value:.1f}' for key, value in run.scores().items())
        print(f'[{count}/{len(pending)}] {run.folder.name}: {values}', flush=True)


def table(seeds, work_dir):
    """A row for each metric and arm of the tasks of which a student's run is done.

    The last column is the paired difference to the arm before, with its 95 % confidence interval.
    """
    lines = [
        f'| task | arm | {" | ".join(f"seed {seed}" for seed in seeds)} | mean ± s.d. '
        '| minus the row above |',
        '|---' * (len(seeds) + 4) + '|',
    ]
    for task, (name, *_, metrics) in TASKS.items():
        runs = runs_of(task, seeds, work_dir)
        if not any(run.scores() for arm in ARMS for run in runs[arm]):
            continue
        for metric in metrics:
            before = {}
            for arm, of_arm in runs.items():
                scores = [run.scores().get(metric) for run in of_arm]
                done = {run.seed: s for run, s in zip(of_arm, scores) if s is not None}
                above, before = difference(done, before), done
                if not done:
                    continue
                cells = ['–' if score is None else f'{score:.1f}' for score in scores]
                cells += [''] * (len(seeds) - len(cells))  # a teacher has no seeds
                cells += [summary(done), str(above or '')]
                lines.append(f'| {name}, {UNITS[metric]} | {arm} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main(arguments=None):
    args = parse_args(arguments)
    import mmdet.models  # noqa: F401
    import mmseg.models  # noqa: F401

    call('demo/make_digit_scenes.py', CONFIGS / 'digit_scenes.py')
    runs = [runs_of(task, args.seeds, args.work_dir) for task in args.tasks]
    bring_to_an_end([run for of_task in runs for run in of_task['the teacher alone']], args.jobs)
    # Seed by seed, so that a table cut short has whole comparisons.
    students = [
        of_task[arm][index] for index in range(len(args.seeds)) for of_task in runs for arm in ARMS
    ]
    bring_to_an_end(students, args.jobs)
    text = table(args.seeds, args.work_dir)
    print(f'\n{text}')
    replace(args.page, 'digits', text)


if __name__ == '__main__':
    main()
