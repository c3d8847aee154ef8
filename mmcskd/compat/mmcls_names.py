import importlib
import importlib.util
import sys
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Names that differ between MMClassification and MMPretrain.
RENAMED = {'ClsDataSample': 'DataSample', 'PackClsInputs': 'PackInputs'}


class _FromMMPretrain(MetaPathFinder, Loader):
    """Imports a module of ``mmcls`` from the same place in ``mmpretrain``."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split('.')[0] == 'mmcls':
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        return ModuleType(spec.name, 'Names of MMPretrain, as MMRazor 1.0 asks for them.')

    def exec_module(self, module):
        real = importlib.import_module('mmpretrain' + module.__name__[len('mmcls') :])
        module.__getattr__ = lambda name: getattr(real, RENAMED.get(name) or name)


@contextmanager
def bridge_mmcls_names():
    """Let MMRazor import from ``mmpretrain`` what it looks for in ``mmcls``.

    Symptom: "`mmcls` is not installed properly" or "PlaceHolder.__init__() got an unexpected
    keyword argument" from MMRazor's ``KDSoftCELoss``, ``PackCRDClsInputs``,
    ``SearchableImageClassifier``, …
    Cause: MMRazor 1.0 imports them from ``mmcls``, since its release 1.0 called ``mmpretrain``, and
    uses a placeholder where the import fails.
    Applies: within the context, if no ``mmcls`` is installed. Afterwards ``import mmcls`` fails as
    before, so that no other package finds MMClassification installed. Modules that were imported
    before the context keep their placeholders.
    """
    if importlib.util.find_spec('mmcls') is not None:
        yield
        return
    finder = _FromMMPretrain()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split('.')[0] == 'mmcls']:
            del sys.modules[name]
