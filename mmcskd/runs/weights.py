"""Load weights completely or not at all."""

import math
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..checks.class_names import checkpoint_classes
from ..checks.suggest import nearest
from .patch_grid import check_grid
from .vit_names import from_timm

AVERAGED = ('state_dict_ema', 'model_ema')
# In the order in which timm looks for them.
WRAPPERS = (*AVERAGED, 'state_dict', 'model', 'module')
PREFIXES = ('_orig_mod.', 'module.', '_orig_mod.', 'architecture.')
BELONGS = 'Does the checkpoint belong to this architecture and number of classes?'


def read_checkpoint(checkpoint: str, given: str) -> Any:
    """Read a checkpoint.

    Args:
        checkpoint (str): A file or URL.
        given (str): Its name in messages, such as ``'model.teacher_ckpt="a.pth"'``.

    Returns:
        Any: Its content.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    except Exception as error:  # any error of the file system, a server or the unpickler
        raise ValueError(
            f'{given} cannot be read ({type(error).__name__}: {error}): give a checkpoint file or '
            'URL.'
        ) from error


def check_complete(
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    given: str,
    owner: str,
    hint: str,
    spare: bool = False,
    resized: Tuple[str, ...] = (),
) -> None:
    """Refuse weights that do not fill a model; PyTorch would leave the rest random.

    Args:
        wanted (Mapping[str, Tensor]): State dict of the model. The batch counts of batch norms may
            be missing, as in older files.
        state (Mapping[str, Tensor]): The weights under the same names.
        given (str): Name of their origin in messages.
        owner (str): Name of the model in messages.
        hint (str): Last sentence of a message: what the user can do.
        spare (bool): Whether further weights are accepted. Defaults to False.
        resized (tuple[str]): Names of weights that may have another shape. Defaults to none.

    Raises:
        ValueError: If a weight is missing, unknown or has another shape, or one holds NaN.
    """
    missing = [
        name for name in wanted if name not in state and not name.endswith('num_batches_tracked')
    ]
    if missing:
        raise ValueError(
            f'{given} lacks {len(missing)} of the {len(wanted)} weights of {owner}, which would '
            f'stay random; the first is "{missing[0]}". {nearest(missing[0], state)} {hint}'
        )
    unknown = [name for name in state if name not in wanted]
    if unknown and not spare:
        raise ValueError(
            f'{given} holds {len(unknown)} weights for which {owner} has no place; the first is '
            f'"{unknown[0]}". {hint}'
        )
    for name in wanted:
        if name in resized or name not in state:
            continue
        if tuple(state[name].shape) != tuple(wanted[name].shape):
            raise ValueError(
                f'{given}: "{name}" has shape {tuple(state[name].shape)}, expected '
                f'{tuple(wanted[name].shape)} by {owner}. {hint}'
            )
    for name in wanted:
        value = state.get(name)
        # NaN compares as false. Minus infinity is what a mask may hold.
        if value is not None and value.is_floating_point() and not bool((value < math.inf).all()):
            raise ValueError(
                f'{given}: "{name}" of {owner} holds NaN or infinity: the file is damaged, or of a '
                'run that diverged. Give another one.'
            )


def load_weights(
    model: nn.Module,
    checkpoint: str,
    key: str = 'model.teacher_ckpt',
    averaged: Optional[bool] = None,
) -> None:
    """Load a checkpoint into a model so that no weight stays random.

    The names of the classes, if the file has them, are noted as ``_dataset_meta`` of the model, as
    MMPretrain's ``get_model`` does.

    It accepts checkpoints of MMEngine, of DistributedDataParallel, of timm (also into an MMPretrain
    classifier with a ``TIMMBackbone`` or a ``VisionTransformer``), and of this package's students,
    with the prefix ``architecture.``.

    Args:
        model (nn.Module): The model.
        checkpoint (str): A file or URL.
        key (str): The config key it came from, for the message.
            Defaults to ``'model.teacher_ckpt'``.
        averaged (bool, optional): As in :func:`choose_weights`.

    Raises:
        ValueError: If the file is missing, unreadable or has no weights, or if a weight of the
            model is missing in it, has another shape or grid, or holds NaN.
    """
    given = f'{key}="{checkpoint}"'
    content = read_checkpoint(checkpoint, given)
    state = state_dict_of(content, given, averaged)
    if not state:
        raise ValueError(f'{given} holds no weights, expected a state dict.')
    state, wanted = named_as(model, state), model.state_dict()
    check_complete(wanted, state, given, type(model).__name__, BELONGS, spare=True)
    check_grid(model, content, given)
    unused = [name for name in state if name not in wanted]
    if unused:
        MMLogger.get_current_instance().warning(
            f'{checkpoint}: {len(unused)} entries are not used, the first is "{unused[0]}".'
        )
    model.load_state_dict({name: state[name] for name in wanted if name in state}, strict=False)
    own: Any = model
    own._dataset_meta = dict(classes=checkpoint_classes(content))


def complete_weights(
    model: nn.Module, content: Any, given: str, wanted: Mapping[str, Tensor]
) -> Dict[str, Tensor]:
    """The weights of a checkpoint under the names of a model that is to start from them.

    Args:
        model (nn.Module): The model, or an algorithm, of which the student must be complete.
        content (Any): Content of the file.
        given (str): How a message names it.
        wanted (Mapping[str, Tensor]): The model's state dict. Empty on a process that holds a shard
            and leaves the check to the first one.

    Returns:
        dict[str, Tensor]: Also those of an algorithm's other parts, if the file has them.

    Raises:
        ValueError: As :func:`load_weights`.
    """
    found = state_dict_of(content, given)
    prefix = 'architecture.' if hasattr(model, 'architecture') else ''
    student = getattr(model, 'architecture', model)
    state = {f'{prefix}{name}': value for name, value in named_as(student, found).items()}
    if wanted:
        own = {name: value for name, value in wanted.items() if name.startswith(prefix)}
        check_complete(own, state, given, type(student).__name__, BELONGS, spare=True)
        check_grid(student, content, given)
    return {**{name: found[name] for name in found if name in wanted}, **state}


def state_dict_of(content: Any, given: str, averaged: Optional[bool] = None) -> Dict[str, Tensor]:
    """The weights of :func:`choose_weights`; the log says which of several sets they are."""
    state, kind = choose_weights(content, given, averaged)
    if kind != 'only':
        MMLogger.get_current_instance().info(
            f'{given} holds averaged weights: the {kind} ones are taken.'
        )
    return state


def choose_weights(
    content: Any, given: str, averaged: Optional[bool] = None
) -> Tuple[Dict[str, Tensor], str]:
    """The weights of a checkpoint of any of the known libraries.

    Of several sets in one file the one that its own library loads, the averaged one: MMEngine's
    ``state_dict``, with which its ``EMAHook`` swaps the raw weights on saving, and timm's
    ``state_dict_ema`` or ``model_ema``.

    Args:
        content (Any): Content of the file.
        given (str): How a message names it.
        averaged (bool, optional): Whether to take averaged weights, with False the raw ones.
            Defaults to None: averaged ones if there are any.

    Returns:
        tuple[dict[str, Tensor], str]: The weights, empty if there are none; and ``'averaged'``,
        ``'raw'``, or ``'only'`` if there is one set.

    Raises:
        ValueError: If the averaged or the raw weights are asked for and are not there.
    """
    kind, taken = 'only', ''
    while isinstance(content, Mapping):
        names = [name for name in WRAPPERS if isinstance(content.get(name), Mapping)]
        other = content.get('ema_state_dict')
        if 'state_dict' in names and isinstance(other, Mapping):  # of MMEngine's EMAHook
            kind, taken, content = 'averaged', 'state_dict', content['state_dict']
            if averaged is False:
                kind, taken, content = 'raw', 'ema_state_dict', _raw(content, other, given)
            break
        if 'state_dict' in names and 'meta' in content:  # MMEngine's
            names = ['state_dict']
        raw = [name for name in names if name not in AVERAGED]
        if len(raw) < len(names):
            kind, names = ('raw', raw) if averaged is False else ('averaged', names)
        if not names:
            break
        taken, content = names[0], content[names[0]]
    if (averaged and kind != 'averaged') or (kind == 'raw' and not taken):
        raise ValueError(
            f'{"--ema" if averaged else "--no-ema"}: {given} has no '
            f'{"averaged" if averaged else "raw"} weights: leave it out.'
        )
    if not isinstance(content, Mapping):
        return {}, kind
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}, kind


def _raw(state: Mapping[str, Any], other: Mapping[str, Any], given: str) -> Dict[str, Any]:
    """The raw weights of MMEngine's two sets, all of them."""
    missing = [name for name in state if f'module.{name}' not in other]
    if missing:
        raise ValueError(
            f'--no-ema: "ema_state_dict" of {given} lacks the raw "{missing[0]}", with '
            f'{len(missing) - 1} others: only averaged weights can be had.'
        )
    return {name: other[f'module.{name}'] for name in state}


def unprefixed(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """A model's weights under its own names, without the prefix of a wrapper or algorithm.

    Args:
        state (Mapping[str, Tensor]): Of a checkpoint; weights beside a student's are left out.
    """
    for prefix in PREFIXES:
        inner = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
        state = inner or state
    return dict(state)


def named_as(model: nn.Module, state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The weights of another library, release or wrapper under a model's own names.

    Args:
        model (nn.Module): Any model.
        state (Mapping[str, Tensor]): The weights.
    """
    state = unprefixed(state)
    if 'blocks.0.attn.qkv.weight' in state and hasattr(getattr(model, 'backbone', None), 'ln1'):
        renamed, unknown = from_timm(state)  # of timm's ViT into MMPretrain's
        state = {**renamed, **{name: state[name] for name in unknown}}
    if hasattr(model, 'bbox_head') and not any(name.startswith('bbox_head.') for name in state):
        # The head of MMDetection's RPN alone is the `rpn_head` of a two-stage detector.
        state = {re.sub(r'^rpn_head\.', 'bbox_head.', name): state[name] for name in state}
    timm_model = getattr(getattr(model, 'backbone', None), 'timm_model', None)
    if timm_model is not None and not any(name.startswith('backbone.') for name in state):
        classifier = timm_model.pretrained_cfg.get('classifier') or 'fc'
        renamed = {}
        for name, value in state.items():
            if name.startswith(f'{classifier}.'):
                renamed[f'head.fc.{name[len(classifier) + 1 :]}'] = value
            else:
                renamed[f'backbone.timm_model.{name}'] = value
        state = renamed
    rename: Any = getattr(model, 'rename_weights', None)
    if rename is not None:  # a student, whose weights had other names in a release
        state = dict(state)
        rename(state)
    return state


def classifier_names(model: nn.Module) -> List[str]:
    """Names of the weights that belong to the classes: of the head, or of the last linear layer.

    Args:
        model (nn.Module): A classifier of MMPretrain; without a ``head``, as of timm or
            torchvision, its last linear layer counts.
    """
    names = list(model.state_dict())
    if hasattr(model, 'head'):
        return [name for name in names if name.startswith(('head.', 'head_dist.'))]
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
    own = {id(value) for module in last for value in module.state_dict(keep_vars=True).values()}
    state = model.state_dict(keep_vars=True)
    return [name for name in names if id(state[name]) in own]


def digest(model: nn.Module) -> str:
    """A short digest of a model's weights, which identifies the teacher in a log.

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
