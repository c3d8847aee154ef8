import shutil

import pytest


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A config, its teacher's weights, a photograph, and a run of an epoch in ``run``."""
    from reader_runs import make_home

    folder = tmp_path_factory.mktemp('home')
    make_home(folder)
    return folder


@pytest.fixture
def place(home, tmp_path):
    """A copy of it."""
    shutil.copytree(home, tmp_path / 'home')
    return tmp_path / 'home'
