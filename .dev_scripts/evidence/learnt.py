"""What students learnt beside their accuracy: docs/evidence/learnt.csv.

    python .dev_scripts/evidence/learnt.py

Of students whose weights .dev_scripts/evidence/run.py has kept, on the test split: accuracy on
corrupted images, calibration, agreement with the teacher, and how far each layer looks. What is
written down already is not measured again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import training
from arms import PORTRAYED, ROOT, SETTINGS, Run, student_file
from head_accuracy import BATCH, canvases, classes_of
from mmengine.registry import DefaultScope
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.registry import MODELS
from results import PHOTOGRAPHS, Table
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from mmcskd.app.report.statistics import calibrate
from mmcskd.runs.weights import load_weights

SEVERITIES = (1, 2, 3, 4, 5)


def corrupted(images: Tensor, kind: str, severity: int) -> Tensor:
    """Images as a camera, a hand or a neighbour may spoil them.

    Args:
        images (Tensor): (N, C, height, width), 0 to 1.
        kind (str): One of ``KINDS``.
        severity (int): 1 to 5.

    Returns:
        Tensor: As many, 0 to 1; the same for the same arguments.
    """
    return KINDS[kind](images, severity, torch.Generator().manual_seed(severity)).clamp(0, 1)


def shifted(images: Tensor, severity: int, draw: torch.Generator) -> Tensor:
    """By 1 to 5 pixels on both axes, each to either side; black comes in."""
    height, width = images.shape[-2:]
    padded = F.pad(images, [severity] * 4)
    starts = 2 * severity * torch.randint(2, (len(images), 2), generator=draw)
    return torch.stack(
        [one[:, y : y + height, x : x + width] for one, (y, x) in zip(padded, starts.tolist())]
    )


def noisy(images: Tensor, severity: int, draw: torch.Generator) -> Tensor:
    """Gaussian noise of a standard deviation of 0.06 to 0.3."""
    return images + 0.06 * severity * torch.randn(images.shape, generator=draw)


def blurred(images: Tensor, severity: int, draw: torch.Generator) -> Tensor:
    """By a Gaussian of 0.5 to 2.5 pixels."""
    sigma = 0.5 * severity
    return transforms.gaussian_blur(images, 2 * int(np.ceil(3 * sigma)) + 1, sigma)


def faded(images: Tensor, severity: int, draw: torch.Generator) -> Tensor:
    """To 85 to 25 % of the contrast."""
    return transforms.adjust_contrast(images, 1 - 0.15 * severity)


def occluded(images: Tensor, severity: int, draw: torch.Generator) -> Tensor:
    """A grey square of 3 to 15 pixels, anywhere."""
    images, side = images.clone(), 3 * severity
    height, width = images.shape[-2:]
    for image in images:
        y, x = (int(torch.randint(n - side + 1, (), generator=draw)) for n in (height, width))
        image[:, y : y + side, x : x + side] = 0.5
    return images


KINDS = dict(shift=shifted, noise=noisy, blur=blurred, contrast=faded, occlusion=occluded)


class AttentionDistance:
    """How far the patches of each layer look: mean distance in patches, weighted by attention.

    Attention to tokens that are no patches is left out. Source: Dosovitskiy et al., "An Image is
    Worth 16x16 Words" (ICLR 2021), figure 7.

    Args:
        student (nn.Module): With MMPretrain's attention; its patch tokens come last.
        grid (tuple[int, int]): Of its patches.
    """

    def __init__(self, student: nn.Module, grid) -> None:
        places = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float) for side in grid))
        self.between = torch.cdist(places, places)
        layers = [one for one in student.modules() if isinstance(one, MultiheadAttention)]
        self.sums, self.batches = [0.0] * len(layers), [0] * len(layers)
        for index, layer in enumerate(layers):
            layer.scaled_dot_product_attention = self._reader(index)

    def _reader(self, index):
        def attend(query, key, value, **kwargs):
            patches = len(self.between)
            similar = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
            weights = similar[..., -patches:, -patches:].softmax(-1)
            self.sums[index] += (weights * self.between).sum(-1).mean().item()
            self.batches[index] += 1
            return F.scaled_dot_product_attention(query, key, value)

        return attend

    def layers(self):
        """Of each layer, first to last."""
        return [total / number for total, number in zip(self.sums, self.batches)]


@torch.no_grad()
def scores_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Probabilities, (N, C)."""
    return torch.cat([model(part, mode='tensor').softmax(1) for part in inputs.split(BATCH)])


def learnt(run: Run, work_dir: Path):
    """Measure one student.

    Returns:
        list[dict]: Rows of ``learnt.csv``. ``level`` is the severity, the layer from 1, or 0.
    """
    start = time.process_time()
    cfg = run.config(work_dir)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(cfg.model.architecture)
        preprocessor = MODELS.build(dict(cfg.data_preprocessor, type='ClsDataPreprocessor'))
    load_weights(student, str(student_file(work_dir, run)))
    student.eval()
    teacher = training.teacher_of(cfg)
    length = SETTINGS[run.setting].test
    data = canvases(cfg.train_dataloader.dataset, 'test', length, preprocessor)
    mean, scale = preprocessor.mean / 255, preprocessor.std / 255
    pixels = data.images * scale + mean

    def accuracy(kind, severity):
        spoilt = (corrupted(pixels, kind, severity) - mean) / scale
        return percent(scores_of(student, spoilt).argmax(1) == data.labels)

    found = {
        (kind, severity): accuracy(kind, severity) for kind in KINDS for severity in SEVERITIES
    }
    distance = AttentionDistance(student, student.backbone.patch_embed.init_out_size)
    scores = scores_of(student, data.images)
    classes = scores.argmax(1)
    found['accuracy', 0] = percent(classes == data.labels)
    found['agreement', 0] = percent(classes == classes_of(teacher, data.images))
    found['calibration error', 0] = calibrate(scores.numpy(), data.labels.numpy()).error
    found.update({('distance', n): far for n, far in enumerate(distance.layers(), 1)})
    origin = training.origin_of(run, teacher, start)
    return [
        dict(origin, measure=measure, level=level, value=value)
        for (measure, level), value in found.items()
    ]


def percent(right: Tensor) -> float:
    """The share that is true, in percent."""
    return 100 * right.float().mean().item()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--setting', choices=SETTINGS, default=PHOTOGRAPHS)
    parser.add_argument('--results', type=Path, default=ROOT / 'docs' / 'evidence')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs' / 'evidence')
    args = parser.parse_args(argv)
    runs = Table(args.results, 'runs').read(setting=args.setting)
    table = Table(args.results, 'learnt')
    for row in runs[runs.arm.isin(PORTRAYED)].itertuples():
        run = Run(row.setting, row.arm, row.seed)
        named = dict(setting=row.setting, arm=row.arm, seed=row.seed)
        same = table.read(**named, config=row.config)
        if same.empty and student_file(args.work_dir, run).is_file():
            # The options that were tuned are in the run's own fingerprint.
            rows = [dict(one, **named, config=row.config) for one in learnt(run, args.work_dir)]
            table.put(rows, instead=named)
            print(f'{row.arm} seed {row.seed} is measured.', flush=True)


if __name__ == '__main__':
    main()
