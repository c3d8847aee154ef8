"""What a JUnit report of pytest says, in Markdown."""

import datetime
import subprocess
from collections import Counter
from pathlib import Path
from typing import List, NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = dict(skipped='skipped', failure='failed', error='failed')
HEAD = '| torch | torchvision | Python | NumPy | passed | skipped | failed | at revision | on |'


class Outcome(NamedTuple):
    """Of a test, or of a file that could not be imported."""

    file: str
    test: str
    """Empty for a file."""
    outcome: str
    """``'passed'``, ``'skipped'`` or ``'failed'``."""
    reason: str


def outcomes(report: Path) -> List[Outcome]:
    """All outcomes of a report that was written with ``-o junit_family=xunit1``."""
    found = []
    for case in ElementTree.parse(report).iter('testcase'):
        kinds = [child for child in case if child.tag in OUTCOMES]
        outcome, reason = ('passed', '') if not kinds else (OUTCOMES[kinds[-1].tag], '')
        whole_file = bool(kinds) and kinds[-1].get('message') == 'collection failure'
        if whole_file:  # the message is the last line of the traceback
            reason = kinds[-1].text.strip().splitlines()[-1].removeprefix('E').strip()
        elif kinds:
            reason = kinds[-1].get('message', '').strip().split('\n')[0][:200]
        test = '' if whole_file else f'{case.get("classname")}::{case.get("name")}'
        found.append(Outcome(case.get('file'), test, outcome, reason))
    return found


def section(found: List[Outcome], versions: List[str]) -> str:
    """A table of one row and, below it, what was skipped and what failed.

    Args:
        found (list[Outcome]): Of :func:`outcomes`.
        versions (list[str]): Of torch, torchvision, Python and NumPy.
    """
    count = Counter(one.outcome for one in found)
    cells = [*versions, *(count[kind] for kind in ('passed', 'skipped', 'failed'))]
    cells += [revision(), datetime.date.today()]
    blocks = [f'{HEAD}\n{"|---" * (HEAD.count("|") - 1)}|\n| {" | ".join(map(str, cells))} |']
    skipped = Counter(one.reason for one in found if one.outcome == 'skipped')
    failed = [f'- `{o.test or o.file}`: {o.reason}' for o in found if o.outcome == 'failed']
    for title, lines in (
        ('Skipped:', [f'- {times} × {reason}' for reason, times in skipped.most_common()]),
        ('Failed:', failed),
    ):
        if lines:
            blocks += [title, '\n'.join(lines)]
    return '\n\n'.join(blocks)


def revision() -> str:
    """The commit of the checkout, with "+" if anything in it was changed since."""
    command = ['git', 'describe', '--always', '--abbrev=10', '--exclude=*', '--dirty=+']
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()
