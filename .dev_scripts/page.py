"""The part of a page of docs/ that a script writes, between two comments with its name."""

import re


def section(page, name):
    """Read a section of a page.

    Args:
        page (Path): A Markdown file with ``<!-- name -->`` and ``<!-- /name -->``.
        name (str): Of the section.

    Returns:
        str: What lies between them.

    Raises:
        ValueError: If the page has no such section.
    """
    found = _pattern(name).search(page.read_text(encoding='utf-8'))
    if not found:
        raise ValueError(f'{page} has no section "<!-- {name} -->" … "<!-- /{name} -->".')
    return found[2].strip()


def replace(page, name, text):
    """Write a section of a page anew.

    Args:
        page (Path): As for :func:`section`.
        name (str): Of the section.
        text (str): What lies between the comments from now on.

    Raises:
        ValueError: If the page has no such section.
    """
    section(page, name)
    old = page.read_text(encoding='utf-8')
    new = _pattern(name).sub(lambda found: f'{found[1]}\n{text}\n\n{found[3]}', old)
    page.write_text(new, encoding='utf-8')


def _pattern(name):
    return re.compile(rf'(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)', re.DOTALL)
