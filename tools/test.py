"""Evaluate the student of a checkpoint and, with --teacher, its teacher."""

import argparse
import os

import mmengine
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio.handlers import file_handlers
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.launch import add_arguments, add_ema, build_student, build_teacher, load_config
from mmcskd.app.runner import naming

# The phases of a test in a config.
PARTS = (
    'work_dir', 'test_dataloader', 'test_cfg', 'test_evaluator', 'default_hooks', 'launcher',
    'env_cfg', 'log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness',
    'experiment_name',
)  # fmt: skip


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint of the student')
    add_ema(parser)
    parser.add_argument('--teacher', action='store_true', help='evaluate the teacher as well')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='average the scores of several views of an image, those of tta_pipeline and tta_model '
        'in the config; default: it and its mirror image',
    )
    parser.add_argument('--out', help='write the metrics to this .json, .yml or .pkl file')
    return parser.parse_args(arguments)


def evaluate(cfg, model, name):
    """Metrics of one model on the config's test set."""
    cfg = cfg.copy()
    cfg.experiment_name = f'{cfg.get("experiment_name") or "test"}_{name}'
    parts = {key: cfg[key] for key in PARTS if key in cfg}
    runner = naming(Runner)(model=model, cfg=cfg, **parts)
    return plain(runner.test())


def add_views(cfg):
    """Let the test pipeline give several views of an image."""
    dataset = cfg.test_dataloader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    *steps, last = dataset.get('pipeline') or [None]
    if last is None:
        raise ValueError('--tta needs test_dataloader.dataset.pipeline, which the config lacks.')
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    mirrored = [*steps, dict(type='TestTimeAug', transforms=[flips, [last]])]
    dataset.pipeline = cfg.get('tta_pipeline') or mirrored


def averaging(cfg, model):
    """A model whose score is the mean over the views."""
    kind = cfg.get('tta_model') or dict(type='AverageClsScoreTTA')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        averaged = MODELS.build(dict(kind, module=model))
    averaged._dataset_meta = getattr(model, '_dataset_meta', None)
    return averaged


def plain(value):
    """A metric's value as numbers, lists and dictionaries, which every format of --out takes."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(inner) for inner in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def check_out(out):
    """Refuse before the evaluation what could not be written after it."""
    suffix = out.rpartition('.')[2]
    if suffix not in file_handlers:
        raise ValueError(f'--out {out}: expected a name that ends in .{", .".join(file_handlers)}.')
    if os.path.isdir(out):
        raise ValueError(f'--out {out} is a folder, expected a file.')


def main(arguments=None):
    args = parse_args(arguments)
    if args.out:
        check_out(args.out)
    cfg = load_config(args, ['test_dataloader'])
    models = dict(student=build_student(cfg, args.checkpoint, args.ema))
    if args.teacher:
        models['teacher'] = build_teacher(cfg)
    if args.tta:
        add_views(cfg)
        models = {name: averaging(cfg, model) for name, model in models.items()}
    results = {}
    for name, model in models.items():
        results[name] = evaluate(cfg, model, name)
        if args.out and is_main_process():
            mmengine.dump(results, args.out)
    if is_main_process():
        for name, metrics in results.items():
            print(f'{name:8}', *(f'{key}: {spelt(metrics[key])}' for key in metrics), sep='  ')


def spelt(value):
    return f'{value:.2f}' if isinstance(value, (int, float)) else value


if __name__ == '__main__':
    main()
