import logging
import warnings


def bridge_known_warnings() -> None:
    """Leave out warnings that a user can do nothing about.

    Symptom: each run begins with "Fail to import ``MultiScaleDeformableAttention``", "pkg_resources
    is deprecated as an API" (twice), "No CUDA runtime is found, using CUDA_HOME" and "Failed to
    search registry with scope "mmpretrain" in the "function" registry tree".
    Cause: ``mmcv-lite`` has no ops; MMEngine resolves ``mmpretrain::`` by ``pkg_resources``, for
    which setuptools is below 81; torch says the third where a CUDA compiler is and no GPU;
    MMPretrain has no functions of its own.
    Applies: these warnings, and no others of the same packages.
    """
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated as an API')
    logging.getLogger('torch.utils.cpp_extension').addFilter(
        lambda record: 'No CUDA runtime is found' not in record.getMessage()
    )

    from mmengine.registry import FUNCTIONS, Registry

    if 'mmpretrain' not in FUNCTIONS.children:
        locations = ['mmpretrain.registry']
        Registry('function', parent=FUNCTIONS, scope='mmpretrain', locations=locations)
