import logging
import shutil

import pytest
from reader_runs import make_home


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runners that start quickly, and loggers that do not pile up."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    yield
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer

    for manager in (MMLogger, MessageHub, Visualizer):
        manager._instance_dict.clear()
    logging.shutdown([])


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A config, its teacher's weights, a photograph, and a run of an epoch in ``run``."""
    place = tmp_path_factory.mktemp('home')
    make_home(place)
    return place


@pytest.fixture
def place(home, tmp_path):
    """A copy of it."""
    shutil.copytree(home, tmp_path / 'home')
    return tmp_path / 'home'
