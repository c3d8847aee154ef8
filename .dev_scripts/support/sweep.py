"""Try every stock classification config of MMPretrain as teacher and as student, and write a table.

Each takes one training step beside a fixed partner, at reduced cost: random weights, small images,
few layers for students. What must hold of it is in pair_trial.py. Results are kept one by one, so
a sweep that was stopped goes on where it was; --fresh starts it over.
"""

import argparse
import copy
import json
import time
import warnings
from pathlib import Path

import mmpretrain
import torch
from joblib import Parallel, delayed
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from pair_trial import Upstream, lighter, read, student_size, teacher_size, try_pair
from tqdm import tqdm

from mmcskd import __version__

ROOT = Path(__file__).resolve().parents[2]
ZOO = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
# Kinds of backbones: with patch tokens; with tokens and, at the end, a map that is pooled; all
# others are CNNs.
TOKENS = {
    *('BEiTViT', 'DaViT', 'DeiT3', 'DistilledVisionTransformer', 'HiViT', 'LeViT', 'LoRAModel'),
    *('MViT', 'MixMIMTransformer', 'MlpMixer', 'MoCoV3ViT', 'PCPVT', 'RevVisionTransformer', 'SVT'),
    *('SwinTransformer', 'SwinTransformerV2', 'T2T_ViT', 'TNT', 'TinyViT', 'ViTEVA02', 'ViTSAM'),
    *('VisionTransformer', 'XCiT'),
}
BOTH = {
    *('Conformer', 'ConvMixer', 'EdgeNeXt', 'EfficientFormer', 'MobileViT', 'PoolFormer'),
    *('PyramidVig', 'RIFormer', 'Vig'),
}
TEACHER = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8, strides=(2, 2, 2, 2)
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=64),
)
STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        img_size=64,
        patch_size=8,
    ),
    head=dict(type='VisionTransformerClsHead', in_channels=24),
)


def configs():
    """Names of all classification configs of the zoo, below its folder of configs."""
    for path in sorted(ZOO.rglob('*.py')):
        name = path.relative_to(ZOO).as_posix()
        # Nor the detectors among the benchmarks of self-supervision.
        if '_base_' in name or path.name.startswith('_') or 'mask-rcnn' in name:
            continue
        yield name


def roles(name):
    """What a config is tried as, with its model and images; an ``Upstream`` where it is unreadable.

    Args:
        name (str): Of :func:`configs`.

    Returns:
        list[tuple[str, ConfigDict, int]]: Role, model and side of the images, pixels; empty for
        a config without an ``ImageClassifier``.
    """
    cfg = read(ZOO / name)
    model = cfg.get('model') or {}
    if model.get('type') != 'ImageClassifier' or not model.get('head'):
        return []
    kind = model.backbone.type
    found = []
    if kind not in TOKENS:
        found.append(('teacher', model, teacher_size(model)))
    if kind in TOKENS | BOTH:
        found.append(('student', lighter(model), student_size(cfg)))
    return found


def distiller():
    """The shipped one, for a student of any kind."""
    return Config.fromfile(ROOT / 'configs/_base_/distillers.py').patch_distiller.to_dict()


def try_one(role, model, size):
    """One model beside its partner.

    Args:
        role (str): ``'teacher'`` or ``'student'``.
        model (ConfigDict): An ``ImageClassifier``.
        size (int): Side of the images, pixels.

    Returns:
        dict: ``result`` (``'passes'``, ``'refused'``, ``'upstream'`` or ``'FAILS'``) and what
        :func:`pair_trial.try_pair` found, or the ``reason``.
    """
    warnings.filterwarnings('ignore')
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('ERROR')
    classes = model.head.get('num_classes') or model.backbone.get('num_classes') or 1000
    partner = ConfigDict(copy.deepcopy(TEACHER if role == 'student' else STUDENT))
    partner.head.num_classes = classes
    if role == 'teacher':
        size = 64  # of the student, whatever the teacher's
        partner.backbone.in_channels = 1 if model.backbone.type == 'LeNet5' else 3
    teacher, student = (model, partner) if role == 'teacher' else (partner, model)
    start = time.time()
    try:
        found = dict(result='passes', **try_pair(teacher, student, size, distiller()))
    except Upstream as error:
        found = dict(result='upstream', reason=_line(error))
    except (ValueError, TypeError) as error:
        found = dict(result='refused', reason=_line(error))
    except Exception as error:
        found = dict(result='FAILS', reason=f'{type(error).__name__}: {_line(error)}')
    return dict(found, seconds=round(time.time() - start, 1))


def sweep(names, results, processes):
    """Try all that is not in the results yet, and keep each as it comes.

    Args:
        names (list[str]): Of :func:`configs`.
        results (Path): JSON file of role → name → result.
        processes (int): At a time.
    """
    found = json.loads(results.read_text()) if results.exists() else {}
    found = {role: found.get(role, {}) for role in ('teacher', 'student')}
    todo, same = {}, {}
    for name in tqdm(names, desc='reading'):
        try:
            for role, model, size in roles(name):
                key = (role, json.dumps(_what_runs(model), sort_keys=True, default=str), size)
                first = same.setdefault(key, name)
                if first != name:
                    found[role][name] = dict(same_as=first)
                elif name not in found[role]:
                    todo[role, name] = (role, model, size)
        except Upstream as error:
            for role in ('teacher', 'student'):
                if _family_can(name, role):
                    found[role][name] = dict(result='upstream', reason=_line(error))
    results.parent.mkdir(parents=True, exist_ok=True)
    run = Parallel(n_jobs=processes, return_as='generator_unordered')
    tasks = (delayed(_named)(key, arguments) for key, arguments in todo.items())
    for (role, name), result in tqdm(run(tasks), total=len(todo), desc='steps'):
        found[role][name] = result
        results.write_text(json.dumps(found, indent=1, sort_keys=True))
    results.write_text(json.dumps(found, indent=1, sort_keys=True))
    return found


def table(found):
    """The results as Markdown.

    Args:
        found (dict): Of :func:`sweep`.

    Returns:
        str: ``docs/support.md``.
    """
    lines = [
        '# Which stock models work',
        '',
        f'Every classification config of MMPretrain {mmpretrain.__version__}, tried by mmcskd '
        f'{__version__} under torch {torch.__version__.split("+")[0]}:',
        '',
        '```bash',
        'python .dev_scripts/support/sweep.py --out docs/support.md',
        '```',
        '',
        'Each takes one training step beside a small partner, with random weights and, for '
        'students, fewer layers of the same kind. It passes if the global response g equals the '
        'own logits to 1e-5, the local responses d differ from place to place and their mean is g '
        'wherever the tail is linear, every weight of the student learns that learns in the stock '
        'model, none of the teacher does, and the step changes the student and gives class '
        'scores. What MMPretrain itself cannot read or build is listed as such. Configs with the '
        'same model share a row.',
        '',
    ]
    for role, columns in (
        ('teacher', ('grid', 'tail', 'pooling')),
        ('student', ('grid', 'extra tokens', 'tokens from')),
    ):
        rows = found[role]
        counts = {
            kind: sum(_resolved(rows, name)['result'] == kind for name in rows)
            for kind in ('passes', 'refused', 'upstream', 'FAILS')
        }
        lines += [
            f'## As the {role}',
            '',
            f'{counts["passes"]} of {len(rows)} pass, {counts["refused"]} are refused with a '
            f'reason, {counts["upstream"]} MMPretrain cannot read, build or run, {counts["FAILS"]} fail.',
            '',
            f'| config | {" | ".join(columns)} | result |',
            '|' + '---|' * (len(columns) + 2),
        ]
        for name in sorted(rows):
            if 'same_as' not in rows[name]:
                twins = [other for other in rows if rows[other].get('same_as') == name]
                lines.append(_row(name, twins, rows[name], role))
        lines.append('')
    return '\n'.join(lines)


def _row(name, twins, result, role):
    cells = ['', '', '']
    if result['result'] == 'passes' and role == 'teacher':
        feature, source, _ = result['pooling']
        cells = [
            '×'.join(map(str, result['teacher_grid'])),
            'linear' if result['linear'] else 'not linear',
            f'`{source}`' if feature is None else f'`{feature}` → `{source}`',
        ]
    elif result['result'] == 'passes':
        cells = [
            '×'.join(map(str, result['student_grid'])),
            str(result['extra']),
            f'`{result["tokens"]}`' if result['tokens'] else 'the backbone',
        ]
    outcome = result['result']
    if 'reason' in result:
        reason = result['reason'].replace('|', '\\|')
        outcome = f'{"MMPretrain" if outcome == "upstream" else outcome}: {reason}'
    also = f' and {len(twins)} more of this model' if twins else ''
    return f'| {name[:-3]}{also} | {" | ".join(cells)} | {outcome} |'


def _resolved(rows, name):
    return rows[rows[name].get('same_as', name)]


def _what_runs(model):
    return {part: model.get(part) for part in ('backbone', 'neck', 'head')}


def _named(key, arguments):
    return key, try_one(*arguments)


def _family_can(name, role):
    """Of a config that cannot be read, by what its folder's others are tried as."""
    others = [other for other in configs() if other.split('/')[0] == name.split('/')[0]]
    for other in others:
        try:
            return role in [found for found, _, _ in roles(other)]
        except Upstream:
            continue
    return True


def _line(error):
    text = ' '.join(str(error).split())
    return text if len(text) < 240 else text[:237] + '…'


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('parts', nargs='*', help='only configs with one of these in their names')
    parser.add_argument('--out', help='Markdown file to write; default: print')
    parser.add_argument('--results', default='work_dirs/support.json', help='kept one by one')
    parser.add_argument('--fresh', action='store_true', help='forget the results kept')
    parser.add_argument('--processes', type=int, default=2)
    args = parser.parse_args(arguments)
    results = Path(args.results)
    if args.fresh:
        results.unlink(missing_ok=True)
    names = [n for n in configs() if not args.parts or any(part in n for part in args.parts)]
    if not names:
        raise ValueError(f'No config below {ZOO} has any of {args.parts} in its name.')
    text = table(sweep(names, results, args.processes))
    if args.out:
        Path(args.out).write_text(text, encoding='utf-8')
    else:
        print(text)


if __name__ == '__main__':
    main()
