"""Changes of one key of a config."""

import copy
import os
import re
import traceback
from pathlib import Path

import mmcskd


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
    now = part.get(key) if isinstance(part, dict) else None
    return f'{kind} {".".join(map(str, path))}', now, keys


def names_a_key(error, keys):
    """Whether this package raised it, as a ValueError or TypeError that names one of the keys."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return (
        isinstance(error, (ValueError, TypeError))
        and last.startswith(PACKAGE)
        and any(re.search(rf'(?<!\w){re.escape(key)}(?!\w)', str(error)) for key in keys)
    )
