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
    _add_afterwards(commands)
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
    add('--bank', action='store_true', help="keep the teacher's responses for further students")
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


def _add_afterwards(commands) -> None:
    run = 'folder of a run, --out of mmcskd distill'
    one = commands.add_parser('predict', help='classes of pictures by the student of a run')
    one.add_argument('out', metavar='RUN', help=run)
    one.add_argument('images', metavar='IMAGE', nargs='+', help='picture files')
    one.add_argument('--top-k', type=int, default=5, metavar='K', help='default: 5')
    one.add_argument('--json', action='store_true', help='one JSON object a line')
    one.add_argument('--picture', metavar='FILE', help='draw pictures and answers into this file')
    one.set_defaults(run=_predict)

    one = commands.add_parser('export', help='the student of a run for another library')
    one.add_argument('out', metavar='RUN', help=run)
    targets = 'onnx (default), timm, mmpretrain, safetensors, backbone, openvino'
    one.add_argument('--to', default='onnx', metavar='TARGET', help=targets)
    one.add_argument('--file', help='default: student in RUN, with the suffix of the target')
    one.add_argument('--force', action='store_true', help='overwrite')
    one.set_defaults(run=_export)

    one = commands.add_parser('models', help='teachers and students by name')
    one.add_argument('words', metavar='WORD', nargs='*', help='only names with all of these')
    one.set_defaults(run=_models)

    one = commands.add_parser('report', help='write report.html and README.md of a run anew')
    one.add_argument('out', metavar='RUN', help=run)
    one.set_defaults(run=_report)


def _distill(options: dict) -> None:
    from mmcskd.app.distill import distill

    distill(**options)


def _predict(options: dict) -> None:
    import json

    from mmcskd.app.run import Run

    if options['top_k'] < 1:
        raise ValueError(f'--top-k {options["top_k"]}: expected a whole number > 0.')
    found = Run(options['out']).predict(options['images'], options['top_k'])
    if options['picture']:
        from mmcskd.app.prediction_figure import draw

        draw(found, options['picture'])
    for each in found:
        answers = zip(each['classes'], each['probabilities'])
        print(
            json.dumps(each, ensure_ascii=False)
            if options['json']
            else f'{each["file"]}: ' + ', '.join(f'{name} {100 * p:.1f} %' for name, p in answers)
        )


def _export(options: dict) -> None:
    from mmcskd.app.run import Run

    out = options.pop('out')
    print(*Run(out).export(**options), sep='\n')


def _models(options: dict) -> None:
    from mmcskd.app.known_models import lines

    print(*lines(options['words']), sep='\n')


def _report(options: dict) -> None:
    from mmcskd.app.run import Run

    print(Run(options['out']).report())


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
