"""Train a config: one process, or one of several started by tools/dist_train.sh."""

import argparse
from pathlib import Path

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.launch import (
    add_amp,
    add_arguments,
    choose_checkpoint,
    load_config,
)
from mmcskd.app.log import summary
from mmcskd.app.runner import build_runner


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint or, without one, from the latest in the work directory',
    )
    add_amp(parser)
    parser.add_argument('--no-validate', action='store_true', help='do not validate in training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by total batch size ÷ auto_scale_lr.base_batch_size',
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_args(arguments)
    loaders = ['train_dataloader'] + ([] if args.no_validate else ['val_dataloader'])
    cfg = load_config(args, loaders)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config.')
        cfg.auto_scale_lr.enable = True
    runner = build_runner(cfg)
    choose_checkpoint(runner)
    runner.train()
    for line in summary(runner, args.config, str(Path(__file__).parent)):
        runner.logger.info(line)


if __name__ == '__main__':
    main()
