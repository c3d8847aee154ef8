"""MkDocs hook: links out of `docs/`, which GitHub follows, lead to pages of the site too.

A file of the repository that a page links to becomes a page under `repository/`: Markdown as it is,
other text as code, a folder as the names in it.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
# Fenced code is matched first, and left as it is.
LINK = re.compile(r'^ *```.*?^ *```|(?<=\]\()(?!\w+:|#)([^)#\s]+)', re.M | re.S)


def on_files(files, config):
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages()]
    for source in waiting:
        # Only pages link further: what looks like a link in code is none.
        for link in LINK.finditer(source.read_text() if source.suffix == '.md' else ''):
            target = link[1] and Path(os.path.normpath(source.parent / link[1]))
            if not target or target.is_relative_to(config.docs_dir) or target in waiting:
                continue
            if not target.exists() or not target.is_relative_to(ROOT):
                raise PluginError(f'{source.relative_to(ROOT)}: no "{link[1]}" to link to.')
            waiting.append(target)
            page = File.generated(
                config, _page(target), content=_content(target), inclusion=InclusionLevel.NOT_IN_NAV
            )
            files.append(page)
    return files


def on_page_markdown(markdown, page, config, files):
    place = PurePosixPath(page.file.src_uri)
    source = ROOT / 'docs' / place
    if place.parts[0] == 'repository':
        source = ROOT.joinpath(*place.parts[1:])
        if source.suffix == '.md' and not source.exists():
            source = source.with_suffix('')

    def moved(link):
        if not link[1]:
            return link[0]
        target = Path(os.path.normpath(source.parent / link[1]))
        return os.path.relpath(_page(target), place.parent)

    return LINK.sub(moved, markdown)


def _page(path):
    """Where the site has a file of the repository."""
    if path.is_relative_to(ROOT / 'docs'):
        return path.relative_to(ROOT / 'docs').as_posix()
    suffix = '' if path.suffix == '.md' else '.md'
    return f'repository/{path.relative_to(ROOT).as_posix()}{suffix}'


def _content(path):
    if path.suffix == '.md':
        return path.read_text()
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        shown = '\n'.join(f'- `{inner.name}`' for inner in sorted(path.glob('[!_]*')))
    else:
        language = {'.py': 'python', '.sh': 'bash', '.yml': 'yaml'}.get(path.suffix, 'text')
        shown = f'``````{language}\n{path.read_text()}\n``````'
    return f'---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n{shown}\n'
