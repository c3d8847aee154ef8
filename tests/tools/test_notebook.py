"""demo/own_images.ipynb: its cells run one after another, on fewer pictures and epochs."""

import json
import sys
import types
from pathlib import Path

import pytest
from tool_runs import DEMO

SMALLER = {
    "'data/digits', 'runs/notebook', 24": "'digits', 'run', 1",
    'write(DATA, SPLITS)': 'write(DATA, {name: (kind, 60) for name, (kind, _) in SPLITS.items()})',
}


def cells(kind):
    notebook = json.loads((DEMO / 'own_images.ipynb').read_text(encoding='utf-8'))
    return [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == kind]


def test_it_has_ten_cells_without_output():
    notebook = json.loads((DEMO / 'own_images.ipynb').read_text(encoding='utf-8'))
    assert len(notebook['cells']) == 10
    assert not any(cell.get('outputs') for cell in notebook['cells'])


@pytest.mark.slow
def test_its_cells_run(tmp_path, monkeypatch):
    shown = []
    display = types.SimpleNamespace(IFrame=lambda source, **size: shown.append(source))
    ipython = types.SimpleNamespace(display=display, version_info=(9, 0))
    monkeypatch.setitem(sys.modules, 'IPython', ipython)
    monkeypatch.setitem(sys.modules, 'IPython.display', display)
    monkeypatch.setenv('MMCSKD_HOME', str(tmp_path / 'home'))
    monkeypatch.syspath_prepend(DEMO)
    monkeypatch.chdir(tmp_path)
    found = {}
    for cell in cells('code'):
        for whole, small in SMALLER.items():
            cell = cell.replace(whole, small)
        exec(compile(cell, 'own_images.ipynb', 'exec'), found)
    run = found['run']
    assert set(run.metrics) == {'teacher', 'student', 'baseline'}
    assert all(entry['epochs'] == 1 for name, entry in run.metrics.items() if name != 'teacher')
    assert (run.out / 'student.onnx').is_file() and (run.out / 'student.safetensors').is_file()
    assert shown == [str(run.out / 'report.html')] and 'student' in Path(shown[0]).read_text()
