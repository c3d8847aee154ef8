"""The part of a page of docs/ that a script writes, between two comments with its name."""

import re


def replace(page, name, text):
    """Write a section of a page anew.

    Args:
        page (Path): A Markdown file with ``<!-- name -->`` and ``<!-- /name -->``.
        name (str): Of the section.
        text (str): What lies between them from now on.

    Raises:
        ValueError: If the page has no such section.
    """
    old = page.read_text(encoding='utf-8')
    section = re.compile(rf'(<!-- {name} -->\n).*?(<!-- /{name} -->)', re.DOTALL)
    if not section.search(old):
        raise ValueError(f'{page} has no section "<!-- {name} -->" … "<!-- /{name} -->".')
    new = section.sub(lambda found: f'{found[1]}\n{text}\n\n{found[2]}', old)
    page.write_text(new, encoding='utf-8')
