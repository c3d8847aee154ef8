"""What `mmcskd models` lists: teachers and students known to work, with their published weights."""

import csv
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from .published import PREFIX, all_published

LIST = Path(__file__).with_suffix('.csv')  # of .dev_scripts/support/known_models.py
HEAD = ('role', 'name', 'grid', 'parameters', 'top-1 on ImageNet')


class Known(NamedTuple):
    """A model that has been tried in a role."""

    role: str
    name: str
    grid: str
    """Height and width, at 224 pixels if it takes any size."""
    parameters: str
    top1: str
    """Accuracy of the published weights in percent."""


def known_models(words: Sequence[str] = ()) -> List[Known]:
    """Models with published weights that passed a training step in their role.

    Args:
        words (Sequence[str]): All of them must be in the role or the name. Defaults to none.
    """
    tried: Dict[str, List[dict]] = {}
    with open(LIST, encoding='utf-8') as file:
        for row in csv.DictReader(file):
            tried.setdefault(f'{PREFIX}{row["config"]}', []).append(row)
    found = [Known('teacher', 'small-cnn', 'size/4', '0.04–0.2 M', '–')]
    found += [Known('student', 'small-vit', 'size/4', '0.1–0.4 M', '–')]
    for model in all_published().values():
        for row in tried.get(model.config, ()):
            count = f'{model.parameters / 1e6:.1f} M' if model.parameters else '–'
            found.append(Known(row['role'], model.name, row['grid'], count, f'{model.top1:.1f}'))
    wanted = [word.lower() for word in words]
    return [
        each
        for each in sorted(found, key=lambda each: (each.role, each.name))
        if all(word in f'{each.role} {each.name}'.lower() for word in wanted)
    ]


def lines(words: Sequence[str]) -> List[str]:
    """The models as lines of a table.

    Args:
        words (Sequence[str]): As for :func:`known_models`.

    Raises:
        ValueError: If there is none.
    """
    found = known_models(words)
    if not found:
        raise ValueError(
            f'No model of MMPretrain that was tried has {" and ".join(words)} in its name; '
            '"timm:NAME" and "torchvision:NAME" serve too.'
        )
    widths = [max(len(each[column]) for each in [HEAD, *found]) for column in range(len(HEAD))]
    rows = ['  '.join(f'{v:{w}}' for v, w in zip(each, widths)).rstrip() for each in [HEAD, *found]]
    return [
        *rows,
        '',
        f'{len(found)} of MMPretrain and small ones. Teachers may also be "timm:NAME" or '
        '"torchvision:NAME", students ViTs of "timm:NAME".',
    ]
