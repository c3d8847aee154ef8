"""What .dev_scripts/compatibility/ writes into docs/compatibility.md, with tests made here."""

import subprocess
import sys

import junit
import mmrazor_tests
import page
import pytest

PAGE = (
    '# Versions\n\n<!-- torch 2.0.1 -->\n<!-- /torch 2.0.1 -->\n\nMore.\n\n'
    '<!-- mmrazor -->\n<!-- /mmrazor -->\n'
)
TESTS = """
import pytest
class TestClass:
    def test_good(self):
        pass
def test_bad():
    assert 1 == 2, 'boom'
@pytest.mark.skip(reason='never')
def test_skipped():
    pass
"""


@pytest.mark.parametrize('parallel', [(), ('-n', '2')], ids=['one process', 'two'])
def test_a_report_becomes_a_section(tmp_path, parallel):
    """Counts, reasons and files that cannot be imported; the rest of the page stays."""
    (tmp_path / 'test_one.py').write_text(TESTS)
    (tmp_path / 'test_two.py').write_text('import not_there\n')
    report = tmp_path / 'junit.xml'
    subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '--continue-on-collection-errors', *parallel]
        + ['-o', 'junit_family=xunit1', f'--junitxml={report}'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    text = junit.section(junit.outcomes(report), ['2.0.1+cpu', '0.15', '3.9', '1.26'])
    assert text.splitlines()[2].startswith('| 2.0.1+cpu | 0.15 | 3.9 | 1.26 | 1 | 1 | 2 | ')
    assert 'Skipped:\n\n- 1 × never\n\nFailed:\n' in text
    assert '- `test_one::test_bad`: AssertionError: boom' in text
    assert "- `test_two.py`: ModuleNotFoundError: No module named 'not_there'" in text
    place = tmp_path / 'page.md'
    place.write_text(PAGE)
    for found in (text, 'less'):
        page.replace(place, 'torch 2.0.1', found)
        parts = PAGE.split('<!-- torch 2.0.1 -->\n')
        assert place.read_text() == f'<!-- torch 2.0.1 -->\n\n{found}\n\n'.join(parts)
    with pytest.raises(ValueError, match='has no section "<!-- none -->"'):
        page.replace(place, 'none', '')


def test_mmrazors_tests(tmp_path):
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
    written = tmp_path / 'page.md'
    written.write_text(PAGE)
    assert not mmrazor_tests.main([str(tmp_path), '--page', str(written)])
    rows = dict(
        [cell.strip() for cell in line.split('|', 2)[1:]]
        for line in written.read_text().splitlines()
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
