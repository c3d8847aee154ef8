"""Write the small detection and segmentation set that the transfer demo trains on."""

import argparse

from mmengine.config import Config
from mmengine.registry import TASK_UTILS, DefaultScope

import mmcskd  # noqa: F401, registers everything

DEFAULT = 'configs/transfer/demo/digit_scenes.py'


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', default=DEFAULT, help='sets `scenes`')
    parser.add_argument('--out', help='another folder than the config says')
    args = parser.parse_args(arguments)
    scenes = Config.fromfile(args.config).get('scenes')
    if not scenes:
        raise ValueError(f'CONFIG "{args.config}" sets no scenes: give {DEFAULT}.')
    if args.out:
        scenes.out = args.out
    with DefaultScope.overwrite_default_scope('mmrazor'):
        scenes = TASK_UTILS.build(scenes)
    print(('Wrote ' if scenes.write() else 'Up to date: ') + str(scenes.out))


if __name__ == '__main__':
    main()
