"""Published weights of timm and torchvision as files, and where this package keeps files."""

import os
from pathlib import Path
from typing import Callable

import torch
from torch import nn

from ..runs.weights import read_checkpoint
from .log import quietly


def home() -> Path:
    """The folder of teachers and weights: ``MMCSKD_HOME``, else ``~/.cache/mmcskd``."""
    return Path(os.environ.get('MMCSKD_HOME') or '~/.cache/mmcskd').expanduser().resolve()


def kept(library: str, name: str, build: Callable[[], nn.Module], where: str, option: str) -> str:
    """The file with a model's published weights; the library downloads them the first time.

    Args:
        library (str): ``'timm'`` or ``'torchvision'``.
        name (str): Of the model.
        build (Callable): Builds it with its weights.
        where (str): The URL from which the library downloads them, for messages.
        option (str): The option that names another file, for messages.

    Returns:
        str: The file.

    Raises:
        ValueError: If the weights cannot be had.
    """
    path = home() / 'weights' / f'{library}-{name.replace("/", "--")}.pth'
    if not path.is_file():
        _say(f'{library}:{name}', where)
        try:
            with quietly():  # again, for the hub's client is there only now
                model = build()
        except Exception as error:  # of a server, the hub or the library, each with its own type
            raise _missing(f'{library}:{name}', where, option, error) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'{path.name}.{os.getpid()}')
        torch.save(dict(state_dict=model.state_dict()), partial)
        partial.replace(path)
    return str(path)


def fetch(name: str, url: str, option: str) -> None:
    """Download published weights once, to where MMEngine keeps and finds them.

    Args:
        name (str): Of the model.
        url (str): Of the weights.
        option (str): As for :func:`kept`.

    Raises:
        ValueError: If they cannot be had.
    """
    if not (Path(torch.hub.get_dir()) / 'checkpoints' / url.split('/')[-1]).exists():
        _say(name, url)
    try:
        read_checkpoint(url, url)
    except ValueError as error:
        raise _missing(name, url, option, error.__cause__ or error) from error


def _say(name: str, where: str) -> None:
    patience = ', which is tried for a minute' if 'huggingface' in where else ''
    print(f'  The weights of {name} are fetched from {where}{patience}.', flush=True)


def _missing(name: str, where: str, option: str, error: BaseException) -> ValueError:
    words = ' '.join(f'{type(error).__name__}: {error}'.split())
    words = words if len(words) < 90 else f'{words[:80]} …'
    return ValueError(
        f'The weights of {name} cannot be had from {where} ({words}): give a file with {option}, '
        'or "none" to start from scratch.'
    )
