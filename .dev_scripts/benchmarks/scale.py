"""How the step time grows with batch, classes, tokens and processes.

A DeiT-Ti is taught by a ResNet-18, a light teacher, so that what grows is not hidden behind it. Its
images are 224 × 224 whatever the student's. The slope is that of a straight line through the
medians.
"""

import copy
import json
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from benchmark_models import batch, build, config, total
from measure import interleaved, parser, prepare, report, stepper

TEACHER = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=512),
)
STANDARD = dict(images=8, classes=1000, side=224)
AXES = dict(
    images=(4, 8, 16, 32),
    classes=(10, 100, 1000, 5000, 21_841),
    side=(112, 160, 224, 320, 448),
)
UNITS = dict(images='ms an image', classes='ms a thousand classes', side='ms a token')


def algorithm(classes, side, device):
    """The algorithm for some number of classes and side of the student's images."""
    cfg = config('cskd_deit-ti_regnety')
    cfg.model.teacher = copy.deepcopy(TEACHER)
    cfg.model.teacher_view = dict(size=224)
    cfg.model.architecture.backbone.img_size = side
    return build(cfg, classes, device)


def variants(images, classes, side, device):
    """Steps with and without CSKD."""
    model = algorithm(classes, side, device)
    student = copy.deepcopy(model.student)
    inputs, samples = batch(images, side, classes, device)
    return dict(
        cskd=stepper(model, lambda: total(model, inputs, samples)),
        student=stepper(student, lambda: student(inputs, samples, mode='loss')['loss']),
    )


def grow(axis, values, args, device):
    """Rows of times along one axis of ``STANDARD``, and a row of their slopes."""
    steps = {}
    for value in values:
        for name, step in variants(**{**STANDARD, axis: value}, device=device).items():
            steps[name, value] = step
    times = interleaved(steps, args)
    found = {key: median(value) for key, value in times.items()}
    scale = [(value // 16) ** 2 if axis == 'side' else value for value in values]
    name = 'tokens' if axis == 'side' else axis
    rows = [
        {
            'grows': name,
            'to': size,
            'CSKD, s': found['cskd', value],
            'student alone, s': found['student', value],
            'difference, s': found['cskd', value] - found['student', value],
        }
        for size, value in zip(scale, values)
    ]
    x = np.array(scale) * (1e-3 if axis == 'classes' else 1)
    slope = {'grows': name, 'slope in': UNITS[axis]}
    for column in ('CSKD', 'student alone', 'difference'):
        y = np.array([row[f'{column}, s'] for row in rows])
        slope[column] = f'{1000 * np.polyfit(x, y, 1)[0]:.2f}'
    cskd = [row['CSKD, s'] for row in rows]
    slope['R² of CSKD'] = f'{np.corrcoef(x, cskd)[0, 1] ** 2:.3f}'
    return rows, slope


class Losses(torch.nn.Module):
    """Lets DistributedDataParallel call the algorithm's losses."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs, samples):
        return total(self.model, inputs, samples)


def process(rank, count, folder, args):
    """One of several processes that train together; the first writes the times of all."""
    args.threads = 1
    device = prepare(args)
    if device == 'cuda':
        torch.cuda.set_device(rank % torch.cuda.device_count())
    backend = 'nccl' if torch.cuda.device_count() >= count else 'gloo'
    torch.distributed.init_process_group(
        backend, init_method=f'file://{folder}/meet_{count}', rank=rank, world_size=count
    )
    model = Losses(algorithm(STANDARD['classes'], STANDARD['side'], device))
    inputs, samples = batch(args.images_a_process, STANDARD['side'], device=device)
    ids = [torch.cuda.current_device()] if device == 'cuda' else None
    with torch.no_grad():
        model(inputs, samples)
    parallel = torch.nn.parallel.DistributedDataParallel(model, device_ids=ids)
    together = stepper(parallel, lambda: parallel(inputs, samples))

    def alone():
        with parallel.no_sync():
            together()

    times = interleaved(dict(together=together, alone=alone), args)
    if rank == 0:
        Path(folder, f'{count}.json').write_text(json.dumps(times))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def processes(args):
    """A row for each number of processes."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in args.processes:
            torch.multiprocessing.spawn(process, (count, folder, args), nprocs=count)
            times = json.loads(Path(folder, f'{count}.json').read_text())
            step, own = median(times['together']), median(times['alone'])
            rows.append(
                {
                    'processes': count,
                    'CSKD, s': step,
                    'without all-reduce, s': own,
                    'images a second': count * args.images_a_process / step,
                    'of one process, times': count * rows[0]['CSKD, s'] / step if rows else 1.0,
                }
            )
    return rows


def main(argv=None):
    known = parser(__doc__, rounds=5, warmup=1)
    for axis, values in AXES.items():
        known.add_argument(f'--{axis}', type=int, nargs='+', default=values)
    known.add_argument('--processes', type=int, nargs='+', default=[1, 2, 4])
    known.add_argument('--images-a-process', type=int, default=4)
    args = known.parse_args(argv)
    device = prepare(args)
    rows, slopes = [], []
    for axis in AXES:
        more, slope = grow(axis, getattr(args, axis), args, device)
        rows += more
        slopes.append(slope)
    report(dict(scale=rows, slopes=slopes, processes=processes(args)), args)


if __name__ == '__main__':
    main()
