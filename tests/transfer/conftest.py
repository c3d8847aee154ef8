"""A suite of its own: without mmcv's ops, MMDetection and MMSegmentation, it is skipped."""

import importlib

import pytest

COMMAND = (
    "run `tools/install_mmcv.sh` and `pip install '.[transfer]'`, "
    'or `bash tools/run_transfer_tests.sh` for all of it'
)


PARTS = {'mmcv.ops': "mmcv's ops", 'mmdet': 'MMDetection', 'mmseg.models': 'MMSegmentation'}
# OneDL's MMSegmentation imports without mmcv's ops, and these need none.
NEEDS = {'test_segmentation.py': ('mmseg.models',)}


def missing(modules):
    """Why tests that need these modules cannot run here, or None."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            what = f'{type(error).__name__}: {error}'
            return f'{PARTS[module]} cannot be imported ({what}): {COMMAND}.'
    return None


def pytest_collection_modifyitems(items):
    own = [item for item in items if item.path.parent.name == 'transfer']
    reasons = {name: missing(NEEDS.get(name, PARTS)) for name in {item.path.name for item in own}}
    for item in own:
        if reasons[item.path.name]:
            item.add_marker(pytest.mark.skip(reason=reasons[item.path.name]))
