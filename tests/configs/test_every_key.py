"""Every key of every shipped config is used or refused."""

from pathlib import Path

import pytest
from misspelt_keys import those_that_pass
from models import CONFIGS


@pytest.mark.slow
def test_a_misspelt_key_is_refused(monkeypatch):
    monkeypatch.setattr(Path, 'exists', lambda self: True)  # the datasets
    monkeypatch.setattr(Path, 'is_file', lambda self: True)
    paths = [path for path in sorted(CONFIGS.rglob('*.py')) if 'transfer' not in path.parts]
    passed, tried = those_that_pass(paths)
    assert len(tried) > 300
    assert not passed, passed
