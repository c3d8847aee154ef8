"""Write the student of a checkpoint for MMPretrain, timm, ONNX and others, without mmcskd.

Stock MMPretrain and timm average the logits of class and distillation token, as
vote=('cls', 'dist') here; the patch tokens do not vote there. ONNX
gives the student's own score, of all its voters.
"""

import argparse

from mmcskd.app.launch import add_ema, add_trust
from mmcskd.export.export_student import TARGETS, export_student
from mmcskd.runs.safe_loading import trust_checkpoints


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of a training')
    parser.add_argument('out', metavar='OUT', help='file to write')
    parser.add_argument(
        '--to', default='mmpretrain', help=f'one of {", ".join(TARGETS)}; default: mmpretrain'
    )
    add_ema(parser)
    parser.add_argument(
        '--config',
        metavar='CONFIG',
        help='config of the training, which is executed; default: the one in the checkpoint, '
        'which is read as data and never executed',
    )
    add_trust(parser)
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_args(arguments)
    trust_checkpoints(args.trust)
    lines = export_student(
        args.checkpoint, args.out, args.to, ema=args.ema, config=args.config, force=args.force
    )
    print(*lines, sep='\n')


if __name__ == '__main__':
    main()
