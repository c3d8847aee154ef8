"""The supported versions of the packages below, checked at import."""

import sys
from importlib import metadata
from typing import Dict, Optional, Tuple

MIN_PYTHON = (3, 9)

# module: (distributions that bring it, lowest version, first version too new, what to install)
SUPPORTED: Dict[str, Tuple[Tuple[str, ...], str, Optional[str], str]] = {
    'torch': (('torch',), '2.0', None, 'torch>=2.0 torchvision'),
    'torchvision': (('torchvision',), '0.15', None, 'torch>=2.0 torchvision'),
    'mmengine': (('mmengine', 'mmengine-lite'), '0.10.0', '1.0', 'mmengine==0.10.7'),
    'mmcv': (('mmcv', 'mmcv-lite'), '2.1.0', '2.2.0', 'mmcv-lite==2.1.0'),
    'mmpretrain': (('mmpretrain',), '1.2.0', '2.0', 'mmpretrain==1.2.0'),
    'mmrazor': (('mmrazor',), '1.0.0', '2.0', 'mmrazor==1.0.0'),
    'timm': (('timm',), '0.9', None, 'timm>=0.9'),
    'joblib': (('joblib',), '1.0', None, 'joblib'),
    'scipy': (('scipy',), '1.6', None, 'scipy'),
    # MMEngine resolves `_base_ = 'mmpretrain::…'` with pkg_resources, which setuptools 81 dropped.
    'pkg_resources': (('setuptools',), '0', '81', 'setuptools<81'),
}


def check_versions() -> None:
    """Refuse an unsupported version of a package, or a missing one.

    Raises:
        ImportError: With the package, the version found, the supported versions and the ``pip``
            command that installs one, or the extra with all that is missing.
    """
    if sys.version_info < MIN_PYTHON:
        running = '.'.join(map(str, sys.version_info[:3]))
        raise ImportError(
            f'mmcskd needs Python >= 3.9 but runs on {running}: make a new environment, '
            'for example with `python3.11 -m venv .venv`.'
        )
    from packaging.version import Version

    for distributions, lowest, too_new, install in SUPPORTED.values():
        found = next(filter(None, map(_installed, distributions)), None)
        wanted = f'>= {lowest}' + (f', < {too_new}' if too_new else '')
        if found is None:
            # mmcv-lite would overwrite an mmcv with ops.
            extra = 'openmmlab-without-mmcv' if _installed('mmcv') else 'openmmlab'
            raise ImportError(
                f'mmcskd needs {distributions[0]} {wanted}, not installed: run '
                f"`pip install 'mmcskd[{extra}]'`, which brings all that is missing."
            )
        release = Version(Version(found).base_version)
        if release < Version(lowest) or (too_new and release >= Version(too_new)):
            remedy = f'run `pip install {" ".join(repr(part) for part in install.split())}`.'
            raise ImportError(f'mmcskd needs {distributions[0]} {wanted}, found {found}: {remedy}')


def _installed(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
