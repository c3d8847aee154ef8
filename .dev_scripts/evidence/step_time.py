"""Time a training step of arms, in turn, on one core: milliseconds, and parts of CSKD's.

    python .dev_scripts/evidence/step_time.py --arms cskd_linear cskd_with_features

Teacher and student have random weights, which take as long as trained ones.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from arms import ANSWER, ARMS, FUSED, Run
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

import mmcskd

SETTINGS = ('fashion', 'long')
WARM_UP = 5


def step_of(setting, arm):
    """A function that takes one step of an arm, with a batch of its setting's size."""
    cfg = Run(setting, arm, 0).config(Path('work_dirs'))
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    backbone = cfg.model.architecture.backbone
    model = MODELS.build(cfg.model).train()
    for loss in model.distiller.distill_losses.values():
        if isinstance(loss, mmcskd.CSKDLoss):
            loss.set_fusion_weight(0.5 if loss.fusion_weight is None else loss.fusion_weight)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    size, side = cfg.train_dataloader.batch_size, backbone.img_size
    images = torch.randn(size, backbone.get('in_channels', 3), side, side)
    samples = [DataSample().set_gt_label(index % 10) for index in range(size)]

    def step():
        losses = model(images, samples, mode='loss')
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(setting, arms, rounds):
    """Seconds of the steps of each arm, by turns."""
    steps = {arm: step_of(setting, arm) for arm in arms}
    found = {arm: [] for arm in arms}
    for turn in range(WARM_UP + rounds):
        for arm, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= WARM_UP:
                found[arm].append(time.perf_counter() - start)
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=SETTINGS)
    parser.add_argument('--arms', nargs='+', choices=ARMS, default=[FUSED, ANSWER])
    parser.add_argument('--rounds', type=int, default=50)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for setting in args.settings:
        found = measure(setting, dict.fromkeys([FUSED, *args.arms]), args.rounds)
        for arm, times in found.items():
            ratio = statistics.median(one / cskd for one, cskd in zip(times, found[FUSED]))
            took = 1000 * statistics.median(times)
            print(f'{setting} {ARMS[arm].label}: {took:.1f} ms, {ratio:.2f} × CSKD (linear)')


if __name__ == '__main__':
    main()
