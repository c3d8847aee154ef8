import difflib
import functools
from pathlib import Path

from .versions import is_onedl


def bridge_package_configs() -> None:
    """Let ``_base_ = 'mmcskd::…'`` find this package's configs in every kind of installation.

    Symptom: "mmengine does not support to load mmcskd config".
    Cause: MMEngine loads configs by name from a fixed list of packages. It expects them in folders
    beside the package's metadata, where an editable install has none, and builds their types in a
    registry scope of the package's own, while this package registers with MMRazor and MMPretrain.
    Applies: names that begin with ``mmcskd::``. The bridge reads the file in the package's
    ``.mim/configs`` like a relative path.

    Symptom: "mmsegmentation is not installed" from ``_base_ = 'mmseg::…'`` beside OneDL's packages.
    Cause: MMEngine looks for a distribution by the name that OpenMMLab's has.
    Applies: OneDL's MMEngine. The module is looked for instead.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    stock = Config._get_cfg_path
    if hasattr(stock, '__wrapped__'):
        return
    if is_onedl():
        MODULE2PACKAGE['mmseg'] = 'mmseg'

    @functools.wraps(stock)
    def get_cfg_path(cfg_path: str, filename: str):
        package, _, path = cfg_path.partition('::')
        if package != 'mmcskd':
            return stock(cfg_path, filename)
        configs = Path(__file__).parents[1] / '.mim' / 'configs'
        if not (configs / path).is_file():
            known = [str(config.relative_to(configs)) for config in configs.rglob('*.py')]
            near = difflib.get_close_matches(path, known, cutoff=0.5) or known
            nearest = ', '.join(f'"{name}"' for name in near)
            raise ValueError(f'_base_="{cfg_path}" in {filename} is no config. Nearest: {nearest}.')
        return str(configs / path), None

    Config._get_cfg_path = staticmethod(get_cfg_path)
