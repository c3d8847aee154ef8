"""The part of a page of docs/ that a script writes, between two comments with its name."""

import re


def replace(page, name, text):
    """Write a section anew.

    Args:
        page (Path): A Markdown file with ``<!-- name -->`` and ``<!-- /name -->``.
        name (str): Of the section.
        text (str): What lies between the comments from now on.

    Raises:
        ValueError: If the page has no such section.
    """
    pattern = re.compile(rf'(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)', re.S)
    new, count = pattern.subn(
        lambda found: f'{found[1]}\n{text}\n\n{found[2]}', page.read_text(encoding='utf-8')
    )
    if not count:
        raise ValueError(f'{page} has no section "<!-- {name} -->" … "<!-- /{name} -->".')
    page.write_text(new, encoding='utf-8')
