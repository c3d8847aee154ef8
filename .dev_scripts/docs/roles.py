"""Griffe extension: the Sphinx roles of docstrings become Markdown, with links within the site."""

import re

from griffe import Extension

ROLE = re.compile(r':(\w+):`(~?)([^`]+)`')


class Roles(Extension):
    """``:class:`~mmcskd.CSKDLoss``` → a link named CSKDLoss; ``:math:`…``` → code."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = ROLE.sub(_markdown, obj.docstring.value)


def _markdown(role):
    kind, short, target = role.groups()
    if kind == 'math':
        return f'`{target}`'
    name = target.rpartition('.')[2] if short else target
    return f'<autoref optional identifier="{target}"><code>{name}</code></autoref>'
