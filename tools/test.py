"""Evaluate the student of a checkpoint and, with --teacher, its teacher."""

import argparse

import mmengine
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.launch import add_arguments, build_student, build_teacher, load_config
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
    parser.add_argument('--teacher', action='store_true', help='evaluate the teacher as well')
    parser.add_argument('--out', help='write the metrics to this .json, .yml or .pkl file')
    return parser.parse_args(arguments)


def evaluate(cfg, model, name):
    """Metrics of one model on the config's test set."""
    cfg = cfg.copy()
    cfg.experiment_name = f'{cfg.get("experiment_name") or "test"}_{name}'
    parts = {key: cfg[key] for key in PARTS if key in cfg}
    runner = naming(Runner)(model=model, cfg=cfg, **parts)
    classes = runner.test_loop.dataloader.dataset.metainfo.get('classes')
    for metric in runner.test_evaluator.metrics:
        if isinstance(metric, Accuracy) and classes:
            metric.topk = (1, 5) if len(classes) > 5 else (1,)
    return runner.test()


def main(arguments=None):
    args = parse_args(arguments)
    cfg = load_config(args, ['test_dataloader'])
    results = dict(student=evaluate(cfg, build_student(cfg, args.checkpoint), 'student'))
    if args.teacher:
        results['teacher'] = evaluate(cfg, build_teacher(cfg), 'teacher')
    if is_main_process():
        for name, metrics in results.items():
            print(f'{name:8}', *(f'{key}: {value:.2f}' for key, value in metrics.items()), sep='  ')
        if args.out:
            mmengine.dump(results, args.out)


if __name__ == '__main__':
    main()
