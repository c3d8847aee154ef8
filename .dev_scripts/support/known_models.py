"""docs/support.md as the list that `mmcskd models` shows: those that pass, with their grids.

python .dev_scripts/support/known_models.py
"""

import json
import re
from pathlib import Path

from sweep import Upstream, configs, roles
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / 'mmcskd' / 'app' / 'known_models.csv'
ROW = re.compile(r'^\| ([\w./-]+)(?: and \d+ more of this model)? \| (\d+)×(\d+) \|.*\| passes \|$')
# Teachers were tried on 64 × 64 pixels if they take any size; the list has their grid at 224.
AT_224 = {('teacher', '2x2'): '7x7', ('teacher', '4x4'): '14x14'}


def main():
    passed, role = {}, ''
    for line in (ROOT / 'docs' / 'support.md').read_text(encoding='utf-8').splitlines():
        if line.startswith('## As the '):
            role = line.split()[-1]
        found = ROW.match(line)
        if found:
            config, rows, columns = found.groups()
            grid = f'{rows}x{columns}'
            passed[role, f'{config}.py'] = AT_224.get((role, grid), grid)
    groups = {}  # of configs with the same model, of which one was tried
    for name in tqdm(configs(), desc='reading'):
        try:
            for role, model, size in roles(name):
                parts = {part: model.get(part) for part in ('backbone', 'neck', 'head')}
                key = (role, json.dumps(parts, sort_keys=True, default=str), size)
                groups.setdefault(key, []).append(name)
        except Upstream:
            continue
    lines = []
    for (role, *_), names in groups.items():
        grids = [passed[role, name] for name in names if (role, name) in passed]
        lines += [f'{role},{name},{grids[0]}' for name in names if grids]
    LIST.write_text('\n'.join(['role,config,grid', *sorted(lines)]) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
