"""A suite of its own: without mmcv's ops, MMDetection and MMSegmentation, it is skipped."""

import importlib

import pytest

COMMAND = (
    "run `tools/install_mmcv.sh` and `pip install '.[transfer]'`, "
    'or `bash tools/run_transfer_tests.sh` for all of it'
)


def missing():
    """Why the suite cannot run here, or None."""
    for module, name in (
        ('mmcv.ops', "mmcv's ops"),
        ('mmdet', 'MMDetection'),
        ('mmseg', 'MMSegmentation'),
    ):
        try:
            importlib.import_module(module)
        except Exception as error:
            return f'{name} cannot be imported ({type(error).__name__}: {error}): {COMMAND}.'
    return None


REASON = missing()


def pytest_collection_modifyitems(items):
    for item in items:
        if REASON and item.path.parent.name == 'transfer':
            item.add_marker(pytest.mark.skip(reason=REASON))
