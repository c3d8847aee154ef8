import functools
from pathlib import Path


def bridge_package_configs() -> None:
    """Let ``_base_ = 'mmcskd::…'`` find this package's configs, however it is installed.

    Symptom: "mmengine does not support to load mmcskd config".
    Cause: MMEngine has a list of the packages whose configs it loads by name, wants them in
    folders, looks beside a package's metadata, where an editable install has none, and builds what
    they name in a registry scope of the package, where this one registers with MMRazor's and
    MMPretrain's.
    Applies: names that begin with ``mmcskd::``; they are files in the package's ``.mim/configs``
    and read as if they lay beside the config that names them.
    """
    from mmengine.config import Config

    from ..checks.suggest import nearest

    stock = Config._get_cfg_path
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def get_cfg_path(cfg_path: str, filename: str):
        package, _, path = cfg_path.partition('::')
        if package != 'mmcskd':
            return stock(cfg_path, filename)
        configs = Path(__file__).parents[1] / '.mim' / 'configs'
        if not (configs / path).is_file():
            known = [str(config.relative_to(configs)) for config in configs.rglob('*.py')]
            raise ValueError(
                f'_base_="{cfg_path}" in {filename} is no config. ' + nearest(path, known)
            )
        return str(configs / path), None

    Config._get_cfg_path = staticmethod(get_cfg_path)
