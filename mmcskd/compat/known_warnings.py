import warnings


def bridge_known_warnings() -> None:
    """Leave out warnings that a user can do nothing about.

    Symptom: each run begins with "Fail to import ``MultiScaleDeformableAttention``", "pkg_resources
    is deprecated as an API" (twice) and "Failed to search registry with scope "mmpretrain" in the
    "function" registry tree".
    Cause: ``mmcv-lite`` has no ops; MMEngine resolves ``mmpretrain::`` by ``pkg_resources``, for
    which setuptools is below 81; MMPretrain has no functions of its own.
    Applies: these warnings, and no others of the same packages.
    """
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated as an API')

    from mmengine.registry import FUNCTIONS, Registry

    if 'mmpretrain' not in FUNCTIONS.children:
        locations = ['mmpretrain.registry']
        Registry('function', parent=FUNCTIONS, scope='mmpretrain', locations=locations)
