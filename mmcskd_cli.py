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
    add = one.add_argument
    add('data', metavar='DATA', help='folder of class folders, annotation file, or config')
    add('--teacher', metavar='NAME', help='a CNN; default: timm:regnety_040, small-cnn up to 64 px')
    add('--student', metavar='NAME', help='a ViT; default: deit-tiny, small-vit up to 64 px')
    add('--epochs', type=int, metavar='N', help='of the student; default: by the number of images')
    add('--out', metavar='DIR', help='folder of the run; default: runs/<name of DATA>')
    add('--baseline', action='store_true', help='train the same student without a teacher, too')
    add('--size', type=int, metavar='PX', help="side of the student's images; default: its own")
    add('--teacher-size', type=int, metavar='PX', help="of the teacher's images; default: its own")
    add('--teacher-epochs', type=int, metavar='N', help='default: by the number of images')
    add('--seed', type=int, default=0, help='of the split and the trainings; default: 0')
    add('--devices', type=int, default=1, metavar='N', help='GPUs, or processes on the CPU')
    weights = 'file or URL to start from, or "none"; default: the published ones'
    add('--teacher-weights', metavar='FILE', help=weights)
    add('--student-weights', metavar='FILE', help=weights)
    add('--augment', metavar='KIND', help='photo (default), or light: digits, letters, signs')
    add('--bank', action='store_true', default=None, help="keep the teacher's responses")
    add('--no-bank', action='store_false', dest='bank', help='use none, if there is one')
    add('--val', type=float, default=0.15, help='share of val, where DATA has none; default: 0.15')
    add('--test', type=float, default=0.15, help='share of test, the same')
    add('--batch-size', type=int, metavar='N', help='of the student, over all devices')
    add('--lr', type=float, help='learning rate of the student')
    add('--amp', action='store_true', default=None, help='mixed precision; default: on GPUs')
    add('--no-amp', action='store_false', dest='amp', help='full precision')
    add('--export', default='onnx', metavar='KIND', help='onnx (default) or none')
    add('--dry-run', action='store_true', help='write the configs and stop')
    add('--verbose', action='store_true', help="MMEngine's log on the terminal")
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
