"""The command `mmcskd`. mmcskd is imported after the arguments are read: --help is quick."""

import argparse
import sys
from typing import List, Optional

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The arguments of all sub-commands."""
    top = argparse.ArgumentParser(
        prog='mmcskd', description='Distil a CNN into a vision transformer for your own images.'
    )
    top.add_argument('--debug', action='store_true', help='show the traceback of an error')
    commands = top.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _add_distill(commands)
    return top


def _add_distill(commands) -> None:
    one = commands.add_parser(
        'distill', help='from a folder of images to a distilled student, with report and export'
    )
    one.add_argument('data', metavar='DATA', help='folder of class folders')
    one.add_argument('--teacher', default='small-cnn', metavar='NAME')
    one.add_argument('--student', default='small-vit', metavar='NAME')
    one.add_argument('--epochs', type=int, metavar='N', help="the student's; default: by the data")
    one.add_argument('--teacher-epochs', type=int, metavar='N', help="the teacher's")
    one.add_argument('--out', metavar='DIR', help='default: runs/<name of DATA>')
    one.add_argument('--baseline', action='store_true', help='also the student without a teacher')
    one.add_argument('--size', type=int, metavar='PIXELS', help='side of the images')
    one.add_argument('--seed', type=int, default=0)
    one.add_argument('--devices', type=int, default=1, metavar='N')
    one.add_argument('--augment', choices=['photo', 'light'])
    one.add_argument('--val', type=float, default=0.15)
    one.add_argument('--test', type=float, default=0.15)
    one.add_argument('--batch-size', type=int)
    one.add_argument('--lr', type=float)
    one.add_argument('--dry-run', action='store_true', help='write the configs and stop')
    one.add_argument('--verbose', action='store_true', help="MMEngine's log on the terminal")
    one.set_defaults(run=_distill)


def _distill(options: dict) -> None:
    from mmcskd.app.distill import distill

    distill(**options)


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command.

    Args:
        arguments (list[str], optional): Defaults to None: those of the process.

    Returns:
        int: 0; 2 for an error, 130 if it was interrupted.
    """
    options = vars(parser().parse_args(arguments))
    debug, run = options.pop('debug'), options.pop('run')
    options.pop('command')
    try:
        run(options)
    except KeyboardInterrupt:
        print('\nInterrupted. The same command goes on from there.', file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        print(f'mmcskd: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
