"""Try every stock classification config of MMPretrain as teacher and as student, and write a table.

Each takes one training step beside a fixed partner, at reduced cost: random weights, small images,
few layers for students. What must hold of it is in pair_trial.py. Results are kept one by one, so
a sweep that was stopped goes on where it was; --fresh starts it over.
"""

import argparse
import copy
import json
import sys
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
sys.path.append(str(ROOT / '.dev_scripts'))

from page import table as markdown  # noqa: E402

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


COLUMNS = dict(teacher=('grid', 'tail', 'pooling'), student=('grid', 'extra tokens', 'tokens from'))
TORCH = torch.__version__.split('+')[0]
HEAD = f"""# Which stock models work

Every classification config of MMPretrain {mmpretrain.__version__}, tried by mmcskd \
{__version__} under torch {TORCH}:

```bash
python .dev_scripts/support/sweep.py --out docs/support.md
```

Each takes one training step beside a small partner, with random weights and, for students, fewer \
layers of the same kind. It passes if the global response g equals the own logits to 1e-5, the \
local responses d differ from place to place and their mean is g wherever the tail is linear, \
every weight of the student learns that learns in the stock model, none of the teacher does, and \
the step changes the student and gives class scores. What MMPretrain itself cannot read or build \
is listed as such. Configs with the same model share a row."""


def configs():
    """Names of all classification configs of the zoo, below its folder of configs."""
    for path in sorted(ZOO.rglob('*.py')):
        name = path.relative_to(ZOO).as_posix()
        # Nor the detectors among the benchmarks of self-supervision.
        if '_base_' in name or path.name.startswith('_') or 'mask-rcnn' in name:
            continue
        yield name


def roles(name):
    """Roles in which a config is tried, with model and side of the images in pixels.

    None for a config without an ``ImageClassifier``; an ``Upstream`` where it is unreadable.
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
    """One model beside its partner, on images of this side.

    Returns:
        dict: ``result`` (``'passes'``, ``'refused'``, ``'upstream'`` or ``'FAILS'``) and what
        :func:`pair_trial.try_pair` found, or the ``reason``.
    """
    warnings.filterwarnings('ignore')
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('ERROR')
    partner = ConfigDict(copy.deepcopy(TEACHER if role == 'student' else STUDENT))
    partner.head.num_classes = (
        model.head.get('num_classes') or model.backbone.get('num_classes') or 1000
    )
    if role == 'teacher':
        size = 64  # of the student, whatever the teacher's
        partner.backbone.in_channels = 1 if model.backbone.type == 'LeNet5' else 3
    teacher, student = (model, partner) if role == 'teacher' else (partner, model)
    try:
        return dict(result='passes', **try_pair(teacher, student, size, distiller()))
    except Upstream as error:
        return dict(result='upstream', reason=_line(error))
    except (ValueError, TypeError) as error:
        return dict(result='refused', reason=_line(error))
    except Exception as error:
        return dict(result='FAILS', reason=f'{type(error).__name__}: {_line(error)}')


def sweep(names, results, processes):
    """Try all that is not in the results yet, several at a time, and keep each as it comes.

    Returns:
        dict: Role → name → result; one with the same model as an earlier one says ``same_as``.
    """
    found = json.loads(results.read_text()) if results.exists() else {}
    found = {role: found.get(role, {}) for role in ('teacher', 'student')}
    todo, same = {}, {}
    for name in tqdm(names, desc='reading'):
        try:
            for role, model, size in roles(name):
                parts = {part: model.get(part) for part in ('backbone', 'neck', 'head')}
                key = (role, json.dumps(parts, sort_keys=True, default=str), size)
                first = same.setdefault(key, name)
                if first != name:
                    found[role][name] = dict(same_as=first)
                elif name not in found[role]:
                    todo[role, name] = (role, model, size)
        except Upstream as error:
            for role in found:
                if _family_can(name, role):
                    found[role][name] = dict(result='upstream', reason=_line(error))
    results.parent.mkdir(parents=True, exist_ok=True)
    run = Parallel(n_jobs=processes, return_as='generator_unordered')
    tasks = (delayed(lambda key, task: (key, try_one(*task)))(*each) for each in todo.items())
    for (role, name), result in tqdm(run(tasks), total=len(todo), desc='steps'):
        found[role][name] = result
        results.write_text(json.dumps(found, indent=1, sort_keys=True))
    return found


def table(found):
    """The text of docs/support.md, from the results."""
    parts = [HEAD]
    for role, columns in COLUMNS.items():
        rows = found[role]
        outcomes = [rows[row.get('same_as', name)]['result'] for name, row in rows.items()]
        parts += [
            f'## As the {role}',
            f'{outcomes.count("passes")} of {len(rows)} pass, {outcomes.count("refused")} are '
            f'refused with a reason, {outcomes.count("upstream")} MMPretrain cannot read, build or '
            f'run, {outcomes.count("FAILS")} fail.',
            markdown(
                ['config', *columns, 'result'],
                [_row(name, rows, role) for name in sorted(rows) if 'same_as' not in rows[name]],
            ),
        ]
    return '\n\n'.join(parts) + '\n'


def _row(name, rows, role):
    result, cells = rows[name], ['', '', '']
    outcome = result['result']
    if outcome == 'passes' and role == 'teacher':
        feature, source, _ = result['pooling']
        cells = [
            '×'.join(map(str, result['teacher_grid'])),
            'linear' if result['linear'] else 'not linear',
            f'`{source}`' if feature is None else f'`{feature}` → `{source}`',
        ]
    elif outcome == 'passes':
        tokens = f'`{result["tokens"]}`' if result['tokens'] else 'the backbone'
        cells = ['×'.join(map(str, result['student_grid'])), result['extra'], tokens]
    else:
        reason = result['reason'].replace('|', '\\|')
        outcome = f'{"MMPretrain" if outcome == "upstream" else outcome}: {reason}'
    twins = sum(row.get('same_as') == name for row in rows.values())
    return [name[:-3] + (f' and {twins} more of this model' if twins else ''), *cells, outcome]


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


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('parts', nargs='*', help='only configs with one of these in their names')
    parser.add_argument('--out', help='Markdown file to write; default: print')
    parser.add_argument('--results', default='work_dirs/support.json', help='kept one by one')
    parser.add_argument('--fresh', action='store_true', help='forget the results kept')
    parser.add_argument('--processes', type=int, default=2)
    args = parser.parse_args(argv)
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
