"""Every module of the package imports."""

import importlib
import pkgutil

import mmcskd


def test_every_module_imports():
    names = [each.name for each in pkgutil.walk_packages(mmcskd.__path__, 'mmcskd.')]
    assert {'mmcskd.algorithm', 'mmcskd.runs', 'mmcskd.dense', 'mmcskd.bank'} <= set(names)
    for name in names:
        importlib.import_module(name)
