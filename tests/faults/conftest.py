import logging

import pytest


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
