"""What .dev_scripts/compatibility/ writes into docs/compatibility.md, with results and tests made here."""

import subprocess
import sys
from types import SimpleNamespace

import mmrazor_tests
import outcomes
import page
import pytest
import torch_versions
from tool_runs import LABORATORY

PAGE = '# Versions\n\n<!-- versions -->\n<!-- /versions -->\n\nMore.\n\n<!-- mmrazor -->\n<!-- /mmrazor -->\n'


def result(torch, *tests):
    names = ('test', 'outcome', 'reason', 'revision')
    found = [dict(zip(names, test)) for test in tests]
    return dict(
        torch=torch, torchvision='0', python='3', numpy='1', date='2026-01-01', outcomes=found
    )


def test_a_version_leaves_the_rows_of_the_others(tmp_path):
    """Newest last, with what was skipped and failed and at which revision; a second run replaces."""
    place = tmp_path / 'page.md'
    place.write_text(PAGE)

    def write(one):
        versions = torch_versions.kept(page.section(place, 'versions'))
        version, row, notes = torch_versions.tell(one)
        versions[version] = row, notes
        page.replace(place, 'versions', torch_versions.table(versions))
        return page.section(place, 'versions')

    write(result('2.14.1+cu1', ('a', 'passed', '', 'abc'), ('b', 'passed', '', 'abc')))
    write(
        result('2.0.1', ('a', 'failed', '\nboom\nmore', 'abc'), ('b', 'skipped', 'Skipped: x', 'd'))
    )
    before = write(result('2.6.0', ('a', 'passed', '', 'e')))
    assert before.splitlines()[2:5] == [
        '| 2.0.1 | 0 | 3 | 1 | 0 | 1 | 1 | abc (1), d (1) | 2026-01-01 |',
        '| 2.6.0 | 0 | 3 | 1 | 1 | 0 | 0 | e | 2026-01-01 |',
        '| 2.14.1+cu1 | 0 | 3 | 1 | 2 | 0 | 0 | abc | 2026-01-01 |',
    ]
    assert before.split('\n\n')[1:] == [
        'Skipped with torch 2.0.1:', '- 1 × x', 'Failed with torch 2.0.1:', '- `a`: boom',
    ]  # fmt: skip
    after = write(result('2.0.1', ('a', 'passed', '', 'f')))
    assert after.splitlines()[2] == '| 2.0.1 | 0 | 3 | 1 | 1 | 0 | 0 | f | 2026-01-01 |'
    assert after.splitlines()[3:] == before.splitlines()[3:5]
    assert place.read_text().startswith('# Versions\n') and '\n\nMore.\n' in place.read_text()
    with pytest.raises(ValueError, match='has no section "<!-- none -->"'):
        page.section(place, 'none')


TESTS = """
import os
import pytest
def test_good():
    pass
def test_mended():
    assert os.path.exists('mended')
@pytest.mark.skip(reason='never')
def test_skipped():
    pass
"""


@pytest.mark.parametrize('parallel', [(), torch_versions.PARALLEL], ids=['one process', 'two'])
def test_outcomes_are_kept(tmp_path, parallel):
    """A file that passed is not run again; what is gone, or can be imported by now, is not counted."""
    (tmp_path / 'test_one.py').write_text(TESTS)
    (tmp_path / 'test_two.py').write_text('import not_there\n')
    (tmp_path / 'test_whole.py').write_text('def test_good():\n    pass\n')
    file = tmp_path / 'kept.jsonl'

    def run(revision):
        subprocess.run(
            [sys.executable, '-m', 'pytest', '-q', *torch_versions.PLUGIN, *parallel],
            cwd=tmp_path,
            env=dict(
                PYTHONPATH=str(LABORATORY / 'compatibility'),
                MMCSKD_OUTCOMES=str(file),
                MMCSKD_REVISION=revision,
            ),
            stdout=subprocess.PIPE,
        )
        found = outcomes.of_collected(file)
        return {one['test']: (one['outcome'], one['revision']) for one in found}

    assert run('first') == {
        'test_one.py::test_good': ('passed', 'first'),
        'test_one.py::test_mended': ('failed', 'first'),
        'test_one.py::test_skipped': ('skipped', 'first'),
        'test_two.py': ('failed', 'first'),
        'test_whole.py::test_good': ('passed', 'first'),
    }
    (tmp_path / 'mended').touch()
    (tmp_path / 'test_two.py').write_text('def test_there():\n    pass\n')
    (tmp_path / 'test_one.py').write_text(TESTS.split('@pytest')[0])
    assert run('second') == {
        'test_one.py::test_good': ('passed', 'second'),
        'test_one.py::test_mended': ('passed', 'second'),
        'test_two.py::test_there': ('passed', 'second'),
        'test_whole.py::test_good': ('passed', 'first'),
    }


def test_mmrazors_tests(tmp_path, monkeypatch):
    """Three ways to run them, in a checkout made here whose tests need different bridges."""
    code = dict.fromkeys(mmrazor_tests.PARTS, 'def test_nothing():\n    import mmrazor.models\n')
    code['test_models/test_losses'] = (
        'def test_mmcls():\n'
        '    import torch\n'
        '    from mmrazor.models import KDSoftCELoss\n'
        '    KDSoftCELoss()(torch.ones(2, 3), torch.ones(2, 3))\n'
        'def test_quick():\n    pass\n'
    )
    for number, (part, text) in enumerate(code.items()):
        place = tmp_path / 'tests' / part
        place = place if place.suffix else place / f'test_{number}.py'
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / 'page.md').write_text(PAGE)
    monkeypatch.setattr(
        mmrazor_tests, 'parse_args', lambda: SimpleNamespace(checkout=tmp_path, page=tmp_path / 'page.md')
    )  # fmt: skip
    assert not mmrazor_tests.main()
    rows = dict(
        [cell.strip() for cell in line.split('|', 2)[1:]]
        for line in page.section(tmp_path / 'page.md', 'mmrazor').splitlines()
        if line.startswith('| ')
    )
    # Older torch has what MMRazor's quantization names.
    alone = rows['all'].split(' | ')[0]
    assert rows['losses'].endswith('| 1 | 2 | 2 |') and rows['all'].endswith(' | 7 | 8 | 8 |')
    assert rows['connectors'].endswith('| 1 | 1 | 1 |') and alone in ('1', '7')
    with pytest.raises(
        SystemExit, match=r'has no test_core/test_delivers: expected the repository'
    ):
        mmrazor_tests.tests_of(tmp_path / 'tests' / 'test_core')
