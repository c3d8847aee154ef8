"""Changes of one key of a config, and whole runs of configs that are wrong there."""

import copy
import os
import random
import re
import traceback
from collections import Counter
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import mmcskd
from mmcskd.app.launch import leave_out_hooks
from mmcskd.app.runner import build_runner
from mmcskd.checks.config_check import check_config, check_scope


def chosen_seed():
    """``MMCSKD_FAULTS_SEED``, or always the same."""
    return int(os.environ.get('MMCSKD_FAULTS_SEED') or 7)


PACKAGE = str(Path(mmcskd.__file__).parent)
STRANGE = (
    None, -1, 0, 1, 3, 0.5, -0.5, 2.5, float('nan'), float('inf'), 10**9, '', 'x', 'hard', 'linear',
    True, False, [], [1], [7, 7], [0, 4], ['cls'], {}, dict(type='x'), dict(a=1), (1, 2, 3), b'x',
)  # fmt: skip


def misspelt(text, draw):
    at = draw.randrange(len(text)) if text else 0
    return draw.choice(
        (text[:at] + text[at + 1 :], text[:at] + 'q' + text[at:], text[::-1], text[1:])
    )


def changed(cfg, path, draw, strange=STRANGE):
    """Drop, rename, misspell or retype a key: in words; the value; keys that a message may name."""
    part = cfg
    for key in path[:-1]:
        part = part[key]
    key = path[-1]
    # Of an item of a list, the list.
    keys = [next(part for part in reversed(path) if isinstance(part, str))]
    kind = draw.choice(('drop', 'rename', 'add', 'misspell', 'retype', 'retype', 'retype'))
    if isinstance(part, list) or key not in part:
        kind = 'retype'
    if kind == 'drop':
        del part[key]
        # The type has another name without its scope.
        keys += ['type'] if key == '_scope_' else []
    elif kind == 'rename':
        keys += [misspelt(key, draw) or 'q'] + (['type'] if key == '_scope_' else [])
        part[keys[1]] = part.pop(key)
    elif kind == 'add':
        keys = [misspelt(key, draw) or 'q']
        part[keys[0]] = draw.choice(strange)
    elif kind == 'misspell' and isinstance(part[key], str):
        part[key] = misspelt(part[key], draw)
    else:
        kind = 'retype'
        part[key] = copy.deepcopy(draw.choice(strange))
    now = part.get(key) if isinstance(part, dict) else part[key]
    return f'{kind} {".".join(map(str, path))}', now, keys


def names_a_key(error, keys):
    """Whether this package raised it, as a ValueError or TypeError that names one of the keys.

    What a message shows of the whole part does not count.
    """
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    said = str(error).partition('Given was')[0]
    return (
        isinstance(error, (ValueError, TypeError))
        and last.startswith(PACKAGE)
        and any(re.search(rf'(?<!\w){re.escape(key)}(?!\w)', said) for key in keys)
    )


# Not numbers that are valid and would take for ever, or make images of one pixel.
VALUES = tuple(each for each in STRANGE if type(each) is not int or each not in (1, 10**9))
# What the tools fill in or the test itself sets.
KEPT = ('model', 'work_dir', 'launcher', 'experiment_name', 'load_from', 'resume', 'custom_imports')
RUN = (
    'train_dataloader', 'val_dataloader', 'train_cfg', 'val_cfg', 'val_evaluator', 'optim_wrapper',
    'param_scheduler', 'default_hooks', 'custom_hooks', 'env_cfg', 'log_processor', 'log_level',
    'visualizer', 'randomness', 'auto_scale_lr', 'default_scope', 'data_preprocessor',
)  # fmt: skip


class Enough(Exception):
    """Two iterations ran."""


class Stop(Hook):
    """Raises it, and notes that training has begun."""

    priority = 'LOWEST'
    begun = False

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.begun = True

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 1:
            raise Enough


def parts_of_a_run(cfg, model):
    """A config around another model, for a few iterations on images that :data:`RUN` names."""
    part = {key: copy.deepcopy(cfg[key]) for key in RUN if cfg.get(key) is not None}
    part = Config(part).to_dict()
    part['custom_hooks'] = [
        dict(hook, momentum=0.01) if hook['type'] == 'EMAHook' else hook  # for a short run
        for hook in part.get('custom_hooks', [])
        if 'mmrazor' not in hook['type']
    ]
    part['model'] = model
    part['default_hooks'].pop('preemption', None)  # handlers of signals outlive a run
    return part


def places(part, path=()):
    """Paths of all keys."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if not path and key in KEPT:
            continue
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def use(cfg, work_dir):
    """As tools/train.py does: check, build, train; two iterations, then validate."""
    cfg = Config(copy.deepcopy(cfg))
    cfg.update(work_dir=str(work_dir), experiment_name=work_dir.name, launcher='none')
    cfg.setdefault('default_scope', 'mmpretrain')
    check_scope(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        check_config(cfg)
    leave_out_hooks(cfg)
    runner = build_runner(cfg)
    runner.register_hook(Stop())
    try:
        runner.train()
    except Enough:
        if runner.val_loop is not None:
            runner.val_loop.run()


def forget():
    """MMEngine keeps what a run had by its name and second, which the next may have as well."""
    for kind in (MMLogger, MessageHub, Visualizer):
        kind._instance_dict.clear()


def try_mutations(shipped, count, folder):
    """Run configs with one wrong key each.

    Returns:
        tuple[Counter, list[str]]: How many ran, were refused by the key, or by what it is a part
            of; and those that ended otherwise.
    """
    seed = chosen_seed()
    draw = random.Random(seed)
    counts, wrong = Counter(), []
    for number in range(count):
        name, base = draw.choice(shipped)
        cfg = copy.deepcopy(base)
        path = draw.choice(list(places(cfg)))
        what, now, keys = changed(cfg, path, draw, VALUES)
        parts = ['.'.join(map(str, path[:end])) for end in range(1, len(path))]
        work_dir = folder / f'run_{number}'
        said = f'{name}: {what} → {now!r}'
        try:
            use(cfg, work_dir)
            outcome = 'ran'
        except Exception as error:
            # A transform that refuses an image says in its own words what it was asked for.
            own = 'pipeline' in path and re.search(rf'\b{keys[0]} must', str(error), re.I)
            said += f': {type(error).__name__}: {str(error)[:300]}'
            if own or names_a_key(error, keys):
                outcome = 'refused by the key'
            else:
                outcome = 'by its part' if names_a_key(error, parts) else 'wrong'
        counts[outcome] += 1
        if os.environ.get('MMCSKD_FAULTS_SHOW'):
            print(f'{outcome}: {said}')
        if outcome == 'wrong':
            wrong.append(said)
        forget()
    return counts, [f'seed {seed}, {counts}', *wrong] if wrong else []
