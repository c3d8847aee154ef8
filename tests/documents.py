"""The pages of the project, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    *sorted((ROOT / 'docs').glob('*.md')),
    ROOT / 'mmcskd' / 'runs' / 'README.md',
]


def blocks(language):
    """(page, code) of each fenced block of a language."""
    for page in PAGES:
        for code in re.findall(rf'^```{language}\n(.*?)^```', page.read_text(), re.M | re.S):
            yield page, code
