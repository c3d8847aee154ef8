"""The script for GPUs, in small on the CPU."""

import json

import check
import pytest
import torch
from tool_runs import ROOT


def test_rehearsal(tmp_path, capsys, monkeypatch):
    """Every check and table is there, and a failed check fails it."""
    small = ['--device', 'cpu', '--small', '--out', str(tmp_path)]
    check.main(small)
    report = json.loads((tmp_path / 'report.json').read_text())
    tables = report['tables']
    assert {row['outcome'] for row in tables['checks']} == {'passed'}
    assert list(tables) == ['checks', 'speed', 'memory', 'loader', 'compile']
    assert report['left_out'] == [] and report['about']['gpus'] == torch.cuda.device_count()
    (speed,) = tables['speed']
    assert speed['config'] == 'cskd_deit-ti_regnety' and speed['batch'] == 2
    rates = [value for key, value in speed.items() if key.endswith('img/s')]
    assert len(rates) == 4 and min(rates) > 0
    assert [row['what'] for row in tables['loader']] == ['data loader alone', 'step alone', 'both']
    assert len(tables['compile']) == 3
    printed = capsys.readouterr().out
    assert printed.strip().endswith((tmp_path / 'report.md').read_text()[7:].strip())

    failed = dict(check='test_one', outcome='failed', reason='no')
    monkeypatch.setattr(check, 'run_tests', lambda *_: [failed])
    monkeypatch.setattr(check, 'MINUTES', 0)
    with pytest.raises(SystemExit, match='Some checks failed'):
        check.main(small)
    assert 'Left out, as the time was over: cskd_deit-ti' in (tmp_path / 'report.md').read_text()


@pytest.mark.parametrize(
    'arguments, said',
    [
        ([], 'torch sees no GPU here; --device cpu --small is a rehearsal'),
        (['--device', 'cpu', '--page', 'docs/gpu.md'], '--page is for numbers of a GPU'),
    ],
)
def test_what_is_refused(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        check.main(arguments)
    assert said in capsys.readouterr().err


def test_the_page_has_its_section():
    text = (ROOT / 'docs' / 'gpu.md').read_text()
    assert text.count('<!-- gpu -->') == text.count('<!-- /gpu -->') == 1
