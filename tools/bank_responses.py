"""Run a config's data and teacher and store the responses, for training without the teacher."""

import argparse

from mmengine.dist import is_main_process

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.launch import add_amp, add_arguments, load_config
from mmcskd.bank.bank_writer import BankWriter
from mmcskd.bank.top_k import describe


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    add_amp(parser)
    parser.add_argument(
        '--epochs',
        help='first and last + 1 of the epochs to bank, as 0:100; several processes may share them '
        'out. Default: all of train_cfg.max_epochs',
    )
    parser.add_argument('--out', help='folder of the bank; default: model.bank.path')
    return parser.parse_args(arguments)


def epochs_of(text, last):
    """The range of epochs.

    Args:
        text (str | None): ``'a:b'``, each of which may be left out.
        last (int): Epochs of the run.

    Returns:
        tuple[int, int]: The first epoch, and the one behind the last.

    Raises:
        ValueError: If it is no range within the run.
    """
    try:
        begin, end = (text or ':').split(':')
        begin, end = int(begin or 0), int(end or last)
    except ValueError:
        begin, end = 0, -1
    if not 0 <= begin < end <= last:
        raise ValueError(
            f'--epochs "{text}", expected a:b with 0 <= a < b <= {last}, which is '
            'train_cfg.max_epochs.'
        )
    return begin, end


def main(arguments=None):
    args = parse_args(arguments)
    cfg = load_config(args, ['train_dataloader'])
    if not isinstance(cfg.get('train_cfg'), dict) or 'max_epochs' not in cfg.train_cfg:
        raise ValueError('CONFIG: a bank is made by epochs: set train_cfg.max_epochs.')
    epochs = epochs_of(args.epochs, cfg.train_cfg.max_epochs)
    out = args.out or (cfg.model.get('bank') or {}).get('path')
    if not out:
        raise ValueError(
            f'CONFIG "{args.config}" sets no model.bank.path: give a folder with --out.'
        )
    writer = BankWriter(cfg, out)
    size = writer.write(*epochs)
    if is_main_process():
        print(
            f'"{out}" holds epochs {epochs[0]} to {epochs[1] - 1}, {size / 1e6:.1f} MB a process.'
        )
        if writer.top is not None:
            print(describe(writer.top.k, writer.error))


if __name__ == '__main__':
    main()
