import importlib
import sys
from types import ModuleType


class _NoBackends(dict):
    """Replaces MMRazor's table of quantization backends where torch lacks their functions."""

    def __missing__(self, key):
        import torch

        raise ImportError(
            f'The quantization backend {key!r} of MMRazor 1.0 needs functions that torch '
            f'{torch.__version__} no longer has; distillation does not use it.'
        )


def bridge_quantization() -> None:
    """Make ``mmrazor.models`` importable.

    Symptom: "`torch>=1.13` is not installed properly" from ``import mmrazor.models``.
    Cause: MMRazor 1.0's quantization tables name torch functions that newer releases removed.
    Applies: only where the real tables cannot be imported.
    """
    name = 'mmrazor.structures.quantization.backend_config'
    if name in sys.modules:
        return
    before = set(sys.modules)
    try:
        importlib.import_module('mmrazor.structures')
    except (ImportError, AttributeError):
        for module in set(sys.modules) - before:
            if module.startswith('mmrazor.structures'):
                del sys.modules[module]
        stand_in = ModuleType(name, 'Quantization is not available with this torch.')
        vars(stand_in).update(BackendConfigs=_NoBackends(), __all__=['BackendConfigs'])
        sys.modules[name] = stand_in
