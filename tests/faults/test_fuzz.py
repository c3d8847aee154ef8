"""Fault: a config that is wrong in one place. Expected: it runs, or we say what is wrong.

Each mutation of the shipped configs, 5,000 in all, drops, renames, misspells or retypes one key of
what this package owns. Teacher and student are small and built once.
"""

import copy
import logging
import os
import random
from collections import Counter

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmrazor.registry import HOOKS, MODELS
from models import CONFIGS, batch, student_config, teacher_config
from mutations import STRANGE, changed, chosen_seed, names_a_key

import mmcskd
from mmcskd.checks.config_check import check_hooks, check_model

COUNT = int(os.environ.get('MMCSKD_FAULTS_FUZZ', 5000))
# Keys that the shipped configs leave at their defaults.
LEFT_OUT = {
    ('model',): (
        'teacher_ckpt', 'teacher_view', 'bank', 'compile', 'data_preprocessor', 'init_cfg',
    ),
    ('model', 'distiller', 'distill_losses', 'loss_cskd'): (
        'temperature', 'loss_weight', 'fusion_weight', 'grid',
    ),
    ('model', 'distiller', 'distill_losses', 'loss_deit'): ('temperature', 'loss_weight'),
    ('model', 'distiller', 'connectors', 'patch'): ('grid', 'init_cfg'),
    ('model', 'architecture'): ('source', 'finetune'),
    ('model', 'distiller', 'student_recorders', 'tokens'): ('source',),
    ('model', 'distiller', 'teacher_recorders', 'response'): ('source', 'logits', 'feature'),
    ('custom_hooks', 0): ('by_epoch', 'begin', 'end', 'schedule'),
    ('default_hooks', 'preemption'): ('grace',),
    ('default_hooks', 'checkpoint'): ('stop_if_not_saved', 'interval', 'by_epoch', 'filename_tmpl'),
}  # fmt: skip
VIEW = ('mean', 'std', 'to_rgb', 'size')
# Of the student, of which MMPretrain's keys are none of ours.
STUDENT = ('type', 'vote')
# Of the architecture and the teacher: what they are is another package's.
MODELS_OF_OTHERS = ('architecture', 'teacher')


@pytest.fixture(scope='module')
def shipped():
    """The shipped configs that distil, in small."""
    found = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        if {'_base_', 'downstream', 'evidence', 'pictures', 'transfer'} & set(
            path.parts
        ) or path.stem == 'digits':
            continue
        cfg = Config.fromfile(path)
        if 'distiller' in cfg.get('model', {}):
            model = cfg.model.to_dict()
            tokens = 'dist' in model['distiller']['connectors']
            model.update(
                architecture=student_config(dist_token=tokens),
                teacher=teacher_config(),
                teacher_ckpt=None,
                random_teacher=True,
            )
            model.pop('data_preprocessor', None)
            model.pop('bank', None)
            hooks = dict(
                custom_hooks=[h for h in cfg.get('custom_hooks', []) if 'CKF' in h['type']],
                default_hooks={
                    k: dict(h)
                    for k, h in cfg.get('default_hooks', {}).items()
                    if 'mmrazor' in str(h.get('type'))
                },
            )
            text = repr((model, hooks))
            found.setdefault(text, (path.stem, dict(model=model, **hooks)))
    return list(found.values())


def places(part, path=()):
    """Paths of all keys of a config that are this package's."""
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        inner = (*path, key)
        if inner[:2] in {('model', name) for name in MODELS_OF_OTHERS}:
            if inner[1] == 'architecture':
                yield from (('model', 'architecture', key) for key in STUDENT)
            continue
        if len(inner) > 1:
            yield inner
        if isinstance(value, (dict, list)):
            yield from places(value, inner)


def put(cfg, draw):
    """A key that was left out, with whatever value."""
    path = draw.choice(list(LEFT_OUT))
    key, part = draw.choice(LEFT_OUT[path]), cfg
    for inner in path:
        try:
            part = part[inner]
        except (KeyError, IndexError):
            return 'nothing', None, []
    value = copy.deepcopy(draw.choice(STRANGE))
    if key == 'teacher_view' and draw.random() < 0.8:
        value = {draw.choice(VIEW): value}
    if key == 'compile':
        value = {draw.choice(('teacher', 'student', 'x')): value} if value is not True else value
        value = (
            {k: v for k, v in value.items() if v is not True} if isinstance(value, dict) else value
        )
    part[key] = value
    return f'put {".".join(map(str, path))}.{key}', value, [key]


def mutate(cfg, draw):
    """One change in one place: what it was, in words; the value; keys that a message may name."""
    if draw.random() < 0.25:
        return put(cfg, draw)
    return changed(cfg, draw.choice(list(places(cfg))), draw)


@pytest.fixture(scope='module')
def parts():
    """Students with and without a distillation token and a teacher, built once."""
    torch.manual_seed(0)
    students = {kind: MODELS.build(student_config(dist_token=kind)) for kind in (True, False)}
    return students, MODELS.build(teacher_config()).eval(), batch(2)


def use(cfg, tokens, parts):
    """As a run does: check, build, train a step."""
    students, teacher, data = parts
    cfg = ConfigDict(cfg)
    check_model(cfg.get('model'))
    check_hooks(cfg)
    hooks = [HOOKS.build(hook) for hook in cfg.get('custom_hooks') or []]
    hooks += [
        HOOKS.build(h) for h in (cfg.get('default_hooks') or {}).values() if h and 'type' in h
    ]
    model = copy.deepcopy(cfg['model'])
    student = copy.deepcopy(students[tokens])
    if model['architecture'] != student_config(dist_token=tokens):
        student = MODELS.build(model['architecture'])
    model['architecture'], model['teacher'] = student, copy.deepcopy(teacher)
    algorithm = MODELS.build(model)
    for hook in hooks:
        if isinstance(hook, mmcskd.CKFHook):
            for loss in algorithm.distiller.distill_losses.values():
                if isinstance(loss, mmcskd.CSKDLoss):
                    loss.set_fusion_weight(float(hook.schedule(0.5)))
    algorithm.loss(*data)


@pytest.mark.parametrize('count', [COUNT // 25, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_one_mutation(shipped, parts, count, record_property):
    """Runs, or ends with a ValueError or TypeError raised by this package that names a key."""
    logging.disable(logging.WARNING)
    seed = chosen_seed()
    bases, draw = shipped, random.Random(seed)
    assert len(bases) >= 5
    counts, wrong = Counter(), []
    for _ in range(count):
        name, base = draw.choice(bases)
        cfg = copy.deepcopy(base)
        tokens = 'dist' in base['model']['distiller']['connectors']
        what, now, keys = mutate(cfg, draw)
        try:
            use(cfg, tokens, parts)
            counts['runs'] += 1
        except Exception as error:
            if names_a_key(error, keys):
                counts['refused'] += 1
            else:
                wrong.append(
                    f'{name}: {what} → {now!r}: {type(error).__name__}: {str(error)[:200]}'
                )
    logging.disable(logging.NOTSET)
    record_property('ran', counts['runs'])
    record_property('refused by the key', counts['refused'])
    record_property('wrong', len(wrong))
    assert not wrong, f'{len(wrong)} of {count}, {counts}, seed {seed}:\n' + '\n'.join(
        sorted(wrong)[:: max(1, len(wrong) // 60)]
    )
    assert counts['refused'] > count / 3 and counts['runs'] > count / 50


def test_unchanged_configs_run(shipped, parts):
    for _, base in shipped:
        use(base, 'dist' in base['model']['distiller']['connectors'], parts)
