"""Write a short config in which one stock model teaches another by CSKD."""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmpretrain import ModelHub, list_models

import mmcskd  # noqa: F401, registers everything
from mmcskd.student.stock_model import stock_model

RECIPE = 'mmcskd::cskd_deit-s_regnety.py'


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', metavar='OUT', help='config to write, such as my_pair.py')
    parser.add_argument(
        '--teacher', required=True, help="stock CNN config: 'mmpretrain::…' or a file"
    )
    parser.add_argument(
        '--student', required=True, help="stock transformer config: 'mmpretrain::…' or a file"
    )
    parser.add_argument(
        '--teacher-ckpt',
        help="the teacher's weights, a file or URL; default: those that MMPretrain publishes",
    )
    parser.add_argument(
        '--recipe',
        default=RECIPE,
        help=f'CSKD config whose data, schedule and hooks are inherited; default: {RECIPE}',
    )
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    return parser.parse_args(arguments)


def published_weights(teacher):
    """URL of the weights that MMPretrain publishes for a config, by its name.

    Args:
        teacher (str): ``'mmpretrain::…'`` or a file.

    Returns:
        str: The URL.

    Raises:
        ValueError: If there are none.
    """
    name = Path(teacher.split('::')[-1]).stem
    weights = ModelHub.get(name).weights if name in list_models(name) else None
    if not weights:
        raise ValueError(
            f'--teacher "{teacher}": MMPretrain publishes no weights by this name, and a random '
            'teacher teaches noise: name a file or URL with --teacher-ckpt.'
        )
    return weights


def reference(path):
    """Name of another config in the written one."""
    return path if '::' in path else str(Path(path).resolve())


def write(args):
    """The text of the config.

    Args:
        args (argparse.Namespace): From :func:`parse_args`.

    Returns:
        str: Python, under twenty lines.

    Raises:
        ValueError: If a config cannot be read, has no image classifier, classes differ, or there
            are no weights for the teacher.
    """
    student = stock_model(args.student, {})
    teacher = stock_model(args.teacher, {})
    classes = [model.head.get('num_classes') for model in (student, teacher)]
    if None not in classes and classes[0] != classes[1]:
        raise ValueError(
            f'--student has {classes[0]} classes and --teacher {classes[1]}: name two models of '
            'the same classes.'
        )
    weights = args.teacher_ckpt or published_weights(args.teacher)
    token = student.head.type == 'DeiTClsHead'
    # 1 - alpha, beside the DeiT term.
    weighed = '        head=dict(loss=dict(loss_weight=0.5)),\n' if token else ''
    distiller = 'cskd_distiller' if token else 'patch_distiller'
    return (
        f'# {Path(args.teacher.split("::")[-1]).stem} teaches '
        f'{Path(args.student.split("::")[-1]).stem}.\n'
        f"_base_ = '{reference(args.recipe)}'\n\n"
        'model = dict(\n'
        '    architecture=dict(\n'
        "        _delete_=True,\n        type='mmpretrain.CSKDClassifier',\n"
        f"        cfg_path='{reference(args.student)}',\n{weighed}"
        '    ),\n'
        f"    teacher=dict(_delete_=True, cfg_path='{reference(args.teacher)}'),\n"
        f"    teacher_ckpt='{weights}',\n"
        f'    distiller=dict(_delete_=True, **_base_.{distiller}),\n'
        ')\n'
    )


def main(arguments=None):
    args = parse_args(arguments)
    out = Path(args.out)
    if out.suffix != '.py':
        raise ValueError(f'OUT "{out}": configs end in ".py".')
    if out.exists() and not args.force:
        raise ValueError(f'OUT "{out}" exists: take another name or add --force.')
    text = write(args)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding='utf-8')
    Config.fromfile(out)  # names the keys that the recipe lacks
    print(f'Wrote {out}; train it with tools/dist_train.sh {out} 8')


if __name__ == '__main__':
    main()
