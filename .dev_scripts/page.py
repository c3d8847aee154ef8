"""What scripts write into the pages of docs/: tables, and sections between two comments."""

import re


def table(head, rows):
    """A table in Markdown.

    Args:
        head (Sequence[str]): Titles of the columns.
        rows (Iterable[Sequence]): Cells.
    """
    lines = [head, *rows]
    lines = [f'| {" | ".join(map(str, cells))} |' for cells in lines]
    return '\n'.join([lines[0], '|---' * len(head) + '|', *lines[1:]])


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
