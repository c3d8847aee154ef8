"""docs/gpu.md lists every branch that the CPU does not enter, with a test that enters it."""

import ast
import re

from tool_runs import ROOT

import mmcskd

DEVICES = {'cuda', 'nccl'}
NAMES = {*DEVICES, 'is_cuda', 'get_device', 'has_accelerator'}


def branches(path):
    """Functions with a name of NAMES or a string of DEVICES, docstrings aside; a list of names
    outside of any function is no branch."""
    found = set()

    def visit(node, inside):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            inside = node.name
        name = getattr(node, 'id', None) or getattr(node, 'attr', None)
        named = name in NAMES or (isinstance(node, ast.Constant) and node.value in DEVICES)
        if named and inside:
            found.add((str(path.relative_to(ROOT)), inside))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text()), '')
    return found


def listed():
    """(file, function), and the tests, of each row of the table."""
    text = (ROOT / 'docs' / 'gpu.md').read_text()
    rows = re.findall(r'^\| `(mmcskd/\S+)` `(\w+)` \| [^|]+ \| ([^|]+) \|$', text, re.M)
    return {(file, name): re.findall(r'`(\S+\.py)::(\w+)`', tests) for file, name, tests in rows}


def test_every_branch_is_listed():
    package = ROOT / 'mmcskd'
    assert mmcskd.__file__.startswith(str(package))
    here = set().union(*map(branches, package.rglob('*.py')))
    assert ('mmcskd/bank/banked_teacher.py', '_check') in here
    assert set(listed()) == here


def test_each_has_a_test():
    for branch, tests in listed().items():
        assert tests, branch
        for file, name in tests:
            text = (ROOT / file).read_text()
            assert f'def {name}(' in text, (file, name)
