"""The supported versions of the packages below, checked at import."""

import runpy
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

MIN_PYTHON = (3, 9)


class Part(NamedTuple):
    """A module of a stack."""

    distributions: Tuple[str, ...]
    """Those that bring it."""
    lowest: str
    too_new: str
    """The first version that is too new."""
    install: str
    """What ``pip`` installs."""


# The frozen packages and their living fork bring the same modules, in the same folders.
OPENMMLAB = {
    'mmengine': Part(('mmengine', 'mmengine-lite'), '0.10.0', '1.0', 'mmengine==0.10.7'),
    'mmcv': Part(('mmcv', 'mmcv-lite'), '2.1.0', '2.2.0', 'mmcv-lite==2.1.0'),
    'mmpretrain': Part(('mmpretrain',), '1.2.0', '1.3', 'mmpretrain==1.2.0'),
}
ONEDL = {
    'mmengine': Part(('onedl-mmengine',), '0.10.12', '1.0', 'onedl-mmengine==0.10.12'),
    'mmcv': Part(('onedl-mmcv',), '2.3.0', '2.4', 'onedl-mmcv==2.3.6'),
    'mmpretrain': Part(('onedl-mmpretrain',), '1.3.0', '1.4', 'onedl-mmpretrain==1.3.6'),
}
# What both stand on, or need beside them.
TORCH = {
    'torch': Part(('torch',), '2.0', '', 'torch>=2.0 torchvision'),
    'torchvision': Part(('torchvision',), '0.15', '', 'torch>=2.0 torchvision'),
}
BESIDE = {
    'mmrazor': Part(('mmrazor',), '1.0.0', '2.0', 'mmrazor==1.0.0'),
    'timm': Part(('timm',), '0.9', '', 'timm>=0.9'),
    'joblib': Part(('joblib',), '1.0', '', 'joblib'),
    'scipy': Part(('scipy',), '1.6', '', 'scipy'),
}
# Of both stacks too; `import mmcskd` needs neither.
DENSE = {'mmdet': 'onedl-mmdetection', 'mmsegmentation': 'onedl-mmsegmentation'}
# MMEngine resolves `_base_ = 'mmpretrain::…'` with pkg_resources, which setuptools 81 dropped;
# OneDL's does not.
SETUPTOOLS = {'setuptools': Part(('setuptools',), '0', '81', 'setuptools<81')}


def check_versions() -> None:
    """Refuse an unsupported version of a package, a missing one, or two stacks in one.

    Raises:
        ImportError: With the package, the version found, the supported versions and the ``pip``
            command that installs one, or the extra with all that is missing. Each is of the stack
            that is installed: none overwrites its modules by the other's.
    """
    if sys.version_info < MIN_PYTHON:
        running = '.'.join(map(str, sys.version_info[:3]))
        raise ImportError(
            f'mmcskd needs Python >= 3.9 but runs on {running}: make a new environment, '
            'for example with `python3.11 -m venv .venv`.'
        )
    from packaging.version import Version

    frozen, living = _distributions(OPENMMLAB), _distributions(ONEDL)
    twice = {one: other for one, other in DENSE.items() if _installed(one) and _installed(other)}
    if (frozen and living) or twice:
        frozen, living = [*frozen, *twice], [*living, *twice.values()]
        raise ImportError(
            f'mmcskd found two stacks, {", ".join(frozen)} of OpenMMLab and {", ".join(living)} of '
            'OneDL. They fill the same folders, so neither is whole. Remove both with `pip '
            f'uninstall -y {" ".join(frozen + living)}` and install one: `pip install '
            "'mmcskd[onedl]'` or `pip install 'mmcskd[openmmlab]'`."
        )
    extra = 'onedl' if living else 'openmmlab'
    if not living and _installed('mmcv'):  # mmcv-lite would overwrite an mmcv with ops
        extra = 'openmmlab-without-mmcv'
    stack = ONEDL if living else {**OPENMMLAB, **SETUPTOOLS}
    for module, part in {**TORCH, **stack, **BESIDE}.items():
        found = _version(module, part.distributions)
        wanted = f'>= {part.lowest}' + (f', < {part.too_new}' if part.too_new else '')
        needed = f'mmcskd needs {part.distributions[0]} {wanted}'
        there = [name for name in part.distributions if _installed(name)]
        if found is None and not there:
            raise ImportError(
                f'{needed}, not installed: run '
                f"`pip install 'mmcskd[{extra}]'`, which brings all that is missing."
            )
        release = Version(Version(found or '0').base_version)
        if release < Version(part.lowest) or (part.too_new and release >= Version(part.too_new)):
            remedy = 'pip install ' + ' '.join(map(repr, part.install.split()))
            # Else pip would find nothing to do, or lay the files of one over those of another.
            same = there == [part.install.partition('==')[0]] and found == _installed(there[0])
            if module in OPENMMLAB and there and not same:
                remedy = f'pip uninstall -y {" ".join(there)} && {remedy}'
            what = f'found {found}' if found else 'whose files are gone'
            raise ImportError(f'{needed}, {what}: run `{remedy}`.')


def is_onedl() -> bool:
    """Whether the MM packages installed are OneDL's."""
    return bool(_distributions(ONEDL))


def _distributions(stack: Dict[str, Part]) -> List[str]:
    """Those of a stack that are installed."""
    return [name for part in stack.values() for name in part.distributions if _installed(name)]


def _version(module: str, distributions: Tuple[str, ...]) -> Optional[str]:
    """What a part of a stack says of itself, without being imported; of another, what pip says."""
    if module not in OPENMMLAB:
        return next(filter(None, map(_installed, distributions)), None)
    spec = find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or []:
        try:
            return runpy.run_path(str(Path(folder) / 'version.py'))['__version__']
        except (OSError, ImportError):  # a folder that was left over
            continue
    return None


def _installed(distribution: str) -> Optional[str]:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
