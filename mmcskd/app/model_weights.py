"""Published weights of timm and torchvision as files, and where this package keeps files."""

import os
from pathlib import Path
from typing import Callable

import torch
from torch import nn


def home() -> Path:
    """The folder of teachers and weights: ``MMCSKD_HOME``, else ``~/.cache/mmcskd``."""
    return Path(os.environ.get('MMCSKD_HOME') or '~/.cache/mmcskd').expanduser().resolve()


def kept(library: str, name: str, build: Callable[[], nn.Module], option: str) -> str:
    """The file with a model's published weights; the library downloads them the first time.

    Args:
        library (str): ``'timm'`` or ``'torchvision'``.
        name (str): Of the model.
        build (Callable): Builds it with its weights.
        option (str): The option that names another file, for the message.

    Returns:
        str: The file.

    Raises:
        ValueError: If the weights cannot be had.
    """
    path = home() / 'weights' / f'{library}-{name.replace("/", "--")}.pth'
    if not path.is_file():
        try:
            model = build()
        except Exception as error:  # of a server, the hub or the library, each with its own type
            words = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
            raise ValueError(
                f'The weights of {library}:{name} cannot be had ({words}): give a file with '
                f'{option}, or "none" to start from scratch.'
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'{path.name}.{os.getpid()}')
        torch.save(dict(state_dict=model.state_dict()), partial)
        partial.replace(path)
    return str(path)
