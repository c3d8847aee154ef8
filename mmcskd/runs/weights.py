"""Load a teacher's weights completely or not at all."""

import re
from collections import OrderedDict
from typing import Dict, Mapping

import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..checks.suggest import nearest

WRAPPERS = ('state_dict', 'model', 'module', 'state_dict_ema', 'model_ema')
PREFIXES = ('module.', 'architecture.')


def load_weights(model: nn.Module, checkpoint: str, key: str = 'model.teacher_ckpt') -> None:
    """Load a checkpoint into a model so that no weight stays random.

    Understood are checkpoints of MMEngine, of DistributedDataParallel, of timm (also into an
    MMPretrain classifier with a ``TIMMBackbone``), and of this package's own students, which lie
    under ``architecture.``.

    Args:
        model (nn.Module): The model to fill.
        checkpoint (str): A file or URL.
        key (str): The config key it came from, for the message.
            Defaults to ``'model.teacher_ckpt'``.

    Raises:
        ValueError: If the file is missing, unreadable or holds no weights, or if any weight of the
            model is missing from it or has another shape.
    """
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except Exception as error:  # whatever the file system, a server or the unpickler says
        raise ValueError(
            f'{key}="{checkpoint}" cannot be read ({type(error).__name__}: {error}): give a '
            'checkpoint file or URL.'
        ) from error
    state = state_dict_of(content)
    if not state:
        raise ValueError(f'{key}="{checkpoint}" holds no weights, expected a state dict.')
    wanted = model.state_dict()
    state = _named_as(model, state)

    counters = ('num_batches_tracked',)
    missing = [name for name in wanted if name not in state and not name.endswith(counters)]
    if missing:
        raise ValueError(
            f'{key}="{checkpoint}" lacks {len(missing)} of the {len(wanted)} weights of '
            f'{type(model).__name__}, which would stay random; the first is "{missing[0]}". '
            f'{nearest(missing[0], state)} Does the checkpoint belong to this architecture?'
        )
    for name, value in wanted.items():
        if name in state and state[name].shape != value.shape:
            raise ValueError(
                f'{key}="{checkpoint}": "{name}" has shape {tuple(state[name].shape)}, '
                f'expected {tuple(value.shape)} by the config. Does the checkpoint belong to this '
                'architecture and number of classes?'
            )
    unused = [name for name in state if name not in wanted]
    if unused:
        MMLogger.get_current_instance().warning(
            f'{checkpoint}: {len(unused)} entries are not used, the first is "{unused[0]}".'
        )
    model.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)


def state_dict_of(content) -> Dict[str, Tensor]:
    """The weights of a checkpoint, whatever library wrapped them.

    Args:
        content (Any): What the file holds.

    Returns:
        dict[str, Tensor]: Empty if there are none.
    """
    while isinstance(content, Mapping):
        inner = next(
            (content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None
        )
        if inner is None:
            return {k: v for k, v in content.items() if isinstance(v, Tensor)}
        content = inner
    return {}


def _named_as(model: nn.Module, state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The weights under the model's own names."""
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in state):
            # Beside a student lie its teacher and other parts, which are not asked for.
            state = OrderedDict(
                (name[len(prefix) :], value)
                for name, value in state.items()
                if name.startswith(prefix)
            )
    if hasattr(model, 'bbox_head') and not any(name.startswith('bbox_head.') for name in state):
        # MMDetection's RPN by itself; in a two-stage detector the same part is its `rpn_head`.
        state = {re.sub(r'^rpn_head\.', 'bbox_head.', name): state[name] for name in state}
    timm_model = getattr(getattr(model, 'backbone', None), 'timm_model', None)
    if timm_model is not None and not any(name.startswith('backbone.') for name in state):
        classifier = timm_model.pretrained_cfg.get('classifier') or 'fc'
        renamed = OrderedDict()
        for name, value in state.items():
            if name.startswith(f'{classifier}.'):
                renamed[f'head.fc.{name[len(classifier) + 1 :]}'] = value
            else:
                renamed[f'backbone.timm_model.{name}'] = value
        state = renamed
    return state


def digest(model: nn.Module) -> str:
    """A short fingerprint of a model's weights, to tell in a log which teacher taught.

    Args:
        model (nn.Module): Any model.

    Returns:
        str: The first 12 hexadecimal digits of the SHA-256 of its names and values.
    """
    import hashlib

    sha = hashlib.sha256()
    for name, value in model.state_dict().items():
        sha.update(name.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:12]
