"""A small run in a process of its own, or under torchrun: the same to the last bit each time."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'  # before CUDA starts, for torch's determinism
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / 'faults'), str(TESTS / 'bank')]

from fault_runs import At, runner  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from models import NUM_CLASSES, algorithm_config, student_config  # noqa: E402

from mmcskd.app.launch import choose_checkpoint  # noqa: E402

EXACT = dict(seed=3, deterministic=True)
SHARDS = dict(type='StudentFSDPStrategy', wrap=['TransformerEncoderLayer'])
MIXED = dict(type='mmrazor.DeviceAmpOptimWrapper', dtype='bfloat16')


class KeepLosses(Hook):
    """A file for each process with a line for each iteration."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = {key: float(value) for key, value in outputs.items()}
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.jsonl'), 'a') as file:
            file.write(json.dumps(values) + '\n')


def mixing_model():
    """With all that draws random numbers: mixup, cutmix, dropout, stochastic depth."""
    student = student_config()
    student['backbone'].update(drop_rate=0.1, drop_path_rate=0.2)
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    return algorithm_config(
        architecture=student,
        data_preprocessor=dict(
            type='mmpretrain.ClsDataPreprocessor',
            num_classes=NUM_CLASSES,
            batch_augments=dict(augments=augments),
        ),
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--mix', action='store_true', help='random numbers, EMA, bfloat16')
    parser.add_argument('--sharded', action='store_true')
    parser.add_argument('--preempted-at', type=int, help='SIGTERM before this iteration')
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args(argv)
    hooks, options = [KeepLosses()], dict(optim=dict(optimizer=dict(type='SGD', lr=0.05)))
    if args.mix:
        options = dict(
            model=mixing_model(), ema=True, optim=MIXED, dataset=dict(type='Pictures', noise=True)
        )
    if args.sharded:
        options['strategy'] = dict(SHARDS)
    if args.preempted_at:
        end = At(args.preempted_at, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        hooks.append(end)
    run = runner(
        args.work_dir, *hooks, batch=args.batch, randomness=EXACT, resume=args.resume, **options
    )
    choose_checkpoint(run)
    run.train()


if __name__ == '__main__':
    main()
