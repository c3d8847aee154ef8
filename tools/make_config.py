"""Write a short config in which one stock model teaches another by CSKD."""

import argparse
import shlex
import tempfile
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models.utils import to_2tuple

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.data_folder import inspect
from mmcskd.app.published import named, published
from mmcskd.runs.distilled_init_hook import DistilledInitHook
from mmcskd.student.stock_model import stock_model

RECIPE = 'mmcskd::cskd_deit-s_regnety.py'
OWN_RECIPE = 'mmcskd::custom/student.py'


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', metavar='OUT', help='config to write, such as my_pair.py')
    parser.add_argument(
        '--teacher',
        required=True,
        help="stock CNN: 'mmpretrain::…', a file, or a name of mmpretrain.list_models()",
    )
    parser.add_argument('--student', required=True, help='stock transformer, in the same ways')
    parser.add_argument(
        '--teacher-ckpt',
        help="the teacher's weights, a file or URL; default: those that MMPretrain publishes",
    )
    parser.add_argument(
        '--recipe',
        help='CSKD config whose data, schedule and hooks are inherited; default: '
        f'{RECIPE}, with --data {OWN_RECIPE}',
    )
    parser.add_argument(
        '--data',
        help='your pictures: a folder of class folders, one with train/ and val/ of these, or an '
        'annotation file; what is found and split is written into the folder OUT without .py',
    )
    parser.add_argument(
        '--num-classes', type=int, help='default: as many as --data has, else as the models'
    )
    parser.add_argument('--epochs', type=int, help='default: as the recipe')
    parser.add_argument(
        '--init',
        help="the student's first weights, a file or URL, or 'none'; default: none, with --data "
        'those that MMPretrain publishes',
    )
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    return parser.parse_args(arguments)


def named_config(name, key):
    """A config, and the weights that MMPretrain publishes for it, of a name on the command line.

    Args:
        name (str): ``'mmpretrain::…'``, a file, or the name of a model of MMPretrain.
        key (str): The argument, for messages.

    Returns:
        tuple[str, list[Published]]: The config, and its weights, the best choice first.

    Raises:
        ValueError: If there is no such file or model.
    """
    if '::' in name:
        return name, published(name)
    if name.endswith('.py'):
        return str(Path(name).resolve()), published(name)
    try:
        model = named(name)
    except ValueError as error:
        raise ValueError(f'{key} {error} Or give a config.') from None
    return model.config, [model]


def teacher_weights(args, known):
    """File or URL of the teacher's weights, and a line that says which they are."""
    if args.teacher_ckpt:
        local = '://' not in args.teacher_ckpt
        return str(Path(args.teacher_ckpt).resolve()) if local else args.teacher_ckpt, []
    if not known:
        raise ValueError(
            f'--teacher "{args.teacher}": MMPretrain publishes no weights for this config, and a '
            'random teacher teaches noise: name a file or URL with --teacher-ckpt.'
        )
    others = ', '.join(f'{each.name} ({each.top1:g} %)' for each in known[1:])
    return known[0].weights, [
        f'Teacher: {known[0].name}, {known[0].top1:g} % top-1 by MMPretrain.'
        + (f' As well for this config, by --teacher NAME: {others}.' if others else '')
    ]


def write(args):
    """The text of the config.

    Args:
        args (argparse.Namespace): From :func:`parse_args`.

    Returns:
        tuple[str, list[str]]: Python, some twenty lines, and what to tell the user.

    Raises:
        ValueError: If a config cannot be read, has no image classifier, classes differ, or there
            are no weights for the teacher or to start from.
    """
    (student_config, published_student), (teacher_config, known) = (
        named_config(getattr(args, key), f'--{key}') for key in ('student', 'teacher')
    )
    student, teacher = stock_model(student_config, {}), stock_model(teacher_config, {})
    recipe = args.recipe or (OWN_RECIPE if args.data else RECIPE)
    recipe = recipe if '::' in recipe else str(Path(recipe).resolve())
    found = inspect(args.data, Path(args.out).with_suffix('')) if args.data else None
    lines = found.lines() if found else []
    classes = [model.head.get('num_classes') for model in (student, teacher)]
    wanted = args.num_classes or (len(found.classes) if found else None)
    if found and wanted != len(found.classes):
        raise ValueError(f'--num-classes {wanted}, but --data has {len(found.classes)} classes.')
    if wanted is None and None not in classes and classes[0] != classes[1]:
        raise ValueError(
            f'--student has {classes[0]} classes and --teacher {classes[1]}: name two models of '
            'the same classes, or --num-classes and a teacher trained on these, --teacher-ckpt.'
        )
    if wanted and classes[1] not in (None, wanted) and not args.teacher_ckpt:
        raise ValueError(
            f'--teacher "{args.teacher}" has weights for {classes[1]} classes, not {wanted}: train '
            'it on your data, as configs/custom/teacher.py does, and name its --teacher-ckpt.'
        )
    weights, told = teacher_weights(args, known)
    token = student.head.type == 'DeiTClsHead'
    head = dict(num_classes=wanted) if wanted and classes[0] != wanted else {}
    if token:
        head['loss'] = dict(loss_weight=0.5)  # 1 - alpha, beside the DeiT term
    changed = f'        head={head!r},\n' if head else ''
    own = f', head=dict(num_classes={wanted})' if wanted and classes[1] != wanted else ''
    distiller = 'cskd_distiller' if token else 'patch_distiller'
    return (
        f'# {stem(teacher_config)!a} teaches {stem(student_config)!a}.\n'
        f'_base_ = {recipe!r}\n\n'
        'model = dict(\n'
        '    architecture=dict(\n'
        "        _delete_=True,\n        type='mmpretrain.CSKDClassifier',\n"
        f'        cfg_path={student_config!r},\n{changed}'
        '    ),\n'
        f'    teacher=dict(_delete_=True, cfg_path={teacher_config!r}{own}),\n'
        f'    teacher_ckpt={weights!r},\n'
        f'    distiller=dict(_delete_=True, **_base_.{distiller}),\n'
        ')\n'
        + for_classes(recipe, wanted or classes[0] or classes[1])
        + for_data(found)
        + for_start(args, found, published_student, student.backbone)
        + for_epochs(args, recipe)
    ), lines + told


def for_data(found):
    """The datasets of the splits, behind the recipe's own pipelines."""
    text = ''
    for split in ('train', 'val', 'test') if found else ():
        dataset = found.dataset(split if split in found.counts else 'val', [])
        del dataset['pipeline']
        place = 'train' if split == 'train' else 'val'
        text += (
            f'{split}_dataloader = dict(\n    dataset=dict(\n        _delete_=True,\n'
            + ''.join(f'        {key}={value!r},\n' for key, value in dataset.items())
            + f'        pipeline=_base_.{place}_dataloader.dataset.pipeline,\n    )\n)\n'
        )
    return text


def for_start(args, found, known, backbone):
    """The hook that loads the student's first weights, in place of the recipe's."""
    if args.init is None and found is None:
        return ''
    first = args.init or (known[0].weights if known else None)
    if first is None:
        raise ValueError(
            f'--student "{args.student}": MMPretrain publishes no weights for it: name a file or '
            'URL with --init, or "none" to start from scratch.'
        )
    if first != 'none' and '://' not in first:
        first = str(Path(first).resolve())
    hook = ''
    if first != 'none':
        # Published weights are of the config's own image size, and do not say it.
        size, patch = to_2tuple(backbone.get('img_size', 224)), backbone.get('patch_size', 16)
        known_grid = not args.init and isinstance(patch, int)
        grid = f', grid={(size[0] // patch, size[1] // patch)}' if known_grid else ''
        hook = f"    dict(type='mmrazor.DistilledInitHook', checkpoint={first!r}{grid}),\n"
    return (
        f'custom_hooks = [\n{hook}'
        "    *[hook for hook in _base_.custom_hooks if 'DistilledInit' not in hook['type']],\n]\n"
    )


def for_epochs(args, recipe):
    """The length of the run, for which the recipe's schedules are stretched."""
    if args.epochs is None:
        return ''
    cfg = Config.fromstring(f'_base_ = {recipe!r}\n', '.py')
    least = 1 + max((each.get('begin', 0) for each in cfg.get('param_scheduler') or ()), default=0)
    if args.epochs < least:
        raise ValueError(
            f'--epochs {args.epochs}: the recipe warms up for {least - 1}, expected more.'
        )
    return f'train_cfg = dict(max_epochs={args.epochs})\n'


def stem(config):
    return Path(config.split('::')[-1]).stem


def for_classes(recipe, classes):
    """What the recipe's data says of another number of classes."""
    cfg = Config.fromstring(f'_base_ = {recipe!r}\n', '.py')
    text = ''
    if classes and cfg.get('data_preprocessor', {}).get('num_classes', classes) != classes:
        text += f'data_preprocessor = dict(num_classes={classes})\n'
    for name in ('val_evaluator', 'test_evaluator'):
        topk = (cfg.get(name) or {}).get('topk', 1)
        if classes and isinstance(topk, (tuple, list)) and max(topk) > classes:
            kept = tuple(k for k in topk if k <= classes)
            text += f'{name} = dict(topk={kept})\n'
    return text


def check(path):
    """Read a config and build its model, as a run does; weights of a URL are not loaded."""
    cfg = Config.fromfile(path)  # names the keys that the recipe lacks
    model = cfg.model
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if '://' in model.teacher_ckpt:
        model.update(teacher_ckpt=None, random_teacher=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(model)
    for hook in cfg.get('custom_hooks') or ():
        if 'DistilledInit' in hook.type and '://' not in hook.checkpoint:
            DistilledInitHook(hook.checkpoint).load(built.student)


def main(arguments=None):
    args = parse_args(arguments)
    out = Path(args.out)
    if out.suffix != '.py':
        raise ValueError(f'OUT "{out}": configs end in ".py".')
    if out.exists() and not args.force:
        raise ValueError(f'OUT "{out}" exists: take another name or add --force.')
    text, lines = write(args)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / 'pair.py'
        written.write_text(text, encoding='utf-8')
        check(written)
    out.write_text(text, encoding='utf-8')
    print(*lines, sep='\n')
    print(f'Wrote {out}; train it with tools/dist_train.sh {shlex.quote(str(out))} 8')


if __name__ == '__main__':
    main()
