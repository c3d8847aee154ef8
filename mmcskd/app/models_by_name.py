"""Models by name: their config for one's own classes, their weights and the images they take."""

import copy
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config, ConfigDict
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from mmrazor.registry import MODELS

from ..checks.class_names import checkpoint_classes
from ..checks.part import type_name
from ..checks.pipeline import pipeline_size
from ..checks.sizes import check_most
from ..checks.suggest import nearest
from ..runs.saved_config import SavedConfigError, check_saved_config, read_saved_config
from ..runs.weights import read_checkpoint
from ..student.stock_model import stock_model
from .model_weights import kept
from .published import all_published, published
from .small_models import SMALL, small_size
from .vit_of_timm import vit_of_timm

IMAGENET: Dict[str, Any] = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
# Of pictures of which nobody has said anything else.
PLAIN: Dict[str, Any] = dict(mean=(127.5,) * 3, std=(127.5,) * 3)
# The ones with a distillation token.
SHORT = {
    f'deit-{size}': f'deit-{size}-distilled_3rdparty_in1k' for size in ('tiny', 'small', 'base')
}
SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors', '.tar')


class NamedModel(NamedTuple):
    """A model that a name stands for."""

    name: str
    config: Dict[str, Any]
    """Of a classifier of MMPretrain, for the classes of the data, without its loss."""
    size: int
    """Side of its images in pixels."""
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    weights: Optional[str] = None
    """File or URL to start from; None from scratch."""
    classes: Optional[Tuple[str, ...]] = None
    """What the weights answer, in this order, if that is known."""

    grid: Optional[Tuple[int, int]] = None
    """Height and width in patches for which a ViT's weights have position embeddings."""

    def resized(self, size: int, option: str) -> 'NamedModel':
        """The same model for images of another size.

        Args:
            size (int): Side of the images in pixels.
            option (str): The option that asks for it, for the message.

        Raises:
            ValueError: If it is no whole number of patches.
        """
        check_most('size', size, option)
        config = copy.deepcopy(self.config)
        if self.name in SMALL:
            config = SMALL[self.name](config['head']['num_classes'], size)
        backbone = config.get('backbone', {})
        patch = backbone.get('patch_size', 16 if _is_vit(config) else 1)
        if size < 8 or size % patch:
            raise ValueError(
                f'{option} {size} is no side for {self.name}, expected a multiple of {patch} '
                'pixels, 8 or more.'
            )
        if 'img_size' in backbone or _is_vit(config):
            backbone['img_size'] = size
        return self._replace(config=config, size=size)


def find_model(
    role: str,
    name: str,
    classes: Sequence[str],
    median: Sequence[int],
    weights: Optional[str] = None,
) -> NamedModel:
    """The model of a name.

    Args:
        role (str): ``'teacher'`` or ``'student'``: the option, for messages, and what may serve.
        name (str): ``'small-cnn'``, ``'small-vit'``; ``'timm:…'``; ``'torchvision:…'``; a config
            (``'mmpretrain::…'`` or a ``.py`` file); a checkpoint of one's own that carries its
            config; or a model of MMPretrain, of which a part of the name is enough.
        classes (Sequence[str]): Of the data.
        median (tuple[int, int]): Median width and height of the pictures.
        weights (str, optional): A file or URL, ``'none'`` for scratch. Defaults to None: those
            that are published.

    Returns:
        NamedModel: For these classes.

    Raises:
        ValueError: If there is no such model, it cannot have this role, or it has no weights.
    """
    count = len(classes)
    library, _, rest = name.partition(':')
    if name in SMALL:
        model = NamedModel(
            name, SMALL[name](count, small_size(median)), small_size(median), **PLAIN
        )
    elif library == 'timm':
        model = _of_timm(role, rest, count, weights)
    elif library == 'torchvision':
        model = _of_torchvision(role, rest, count, weights)
    elif name.endswith(SUFFIXES):
        model = _of_checkpoint(role, name, count)
    else:
        model = _of_mmpretrain(role, name, count, weights)
    if _is_vit(model.config):
        side = model.size // model.config['backbone'].get('patch_size', 16)
        model = model._replace(grid=(side, side))
    if weights == 'none':
        model = model._replace(weights=None, classes=None, grid=None)
    elif weights is not None:
        given = weights if '://' in weights else str(Path(weights).resolve())
        own = _tuple(checkpoint_classes(read_checkpoint(given, f'--{role}-weights "{weights}"')))
        model = model._replace(weights=given, classes=own)
    return model


def answers(model: NamedModel, classes: Sequence[str]) -> bool:
    """Whether the weights answer these classes, by name and in this order.

    Args:
        model (NamedModel): The model.
        classes (Sequence[str]): Of the data.
    """
    if model.weights is None or model.classes is None:
        return False
    if tuple(classes) == tuple(model.classes):
        return True
    # ImageNet's folders have other names for the same classes, in the order of the labels.
    folders = all(re.fullmatch(r'n\d{8}', name) for name in classes)
    return folders and len(classes) == 1000 and model.classes == tuple(IMAGENET_CATEGORIES)


def _of_timm(role: str, name: str, classes: int, weights: Optional[str]) -> NamedModel:
    import timm

    known = timm.list_models() + timm.list_models(pretrained=True)
    if name not in known:
        raise ValueError(f'--{role} "timm:{name}": timm has no such model. {nearest(name, known)}')
    says = timm.get_pretrained_cfg(name)
    if weights is None:
        where = getattr(says, 'hf_hub_id', None)
        weights = kept(
            'timm',
            name,
            lambda: timm.create_model(name, pretrained=True),
            f'https://huggingface.co/{where}' if where else str(getattr(says, 'url', None)),
            f'--{role}-weights',
        )
    size = max((says.input_size if says else None) or (3, 224, 224), key=int)
    scale: Dict[str, Any] = {
        key: tuple(255 * value for value in getattr(says, key, None) or IMAGENET[key])
        if says
        else IMAGENET[key]
        for key in ('mean', 'std')
    }
    if role == 'student':
        config = vit_of_timm(timm.create_model(name), name, classes)
    else:
        config = dict(type='TimmClassifier', model_name=name, num_classes=classes)
    own = IMAGENET_CATEGORIES if says and says.num_classes == 1000 else None
    return NamedModel(f'timm:{name}', config, size, weights=weights, classes=_tuple(own), **scale)


def _of_torchvision(role: str, name: str, classes: int, weights: Optional[str]) -> NamedModel:
    from torchvision import models

    if role == 'student':
        raise ValueError(
            f'--student "torchvision:{name}": students are models of MMPretrain or ViTs of timm, '
            'such as "deit-tiny" or "timm:vit_tiny_patch16_224".'
        )
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(
            f'--{role} "torchvision:{name}": torchvision has no such classifier. '
            + nearest(name, known)
        )
    best = models.get_model_weights(name).DEFAULT
    view = best.transforms()
    if weights is None:
        weights = kept(
            'torchvision',
            name,
            lambda: models.get_model(name, weights=best),
            best.url,
            f'--{role}-weights',
        )
    return NamedModel(
        f'torchvision:{name}',
        dict(type='TorchvisionClassifier', model_name=name, num_classes=classes),
        view.crop_size[0],
        tuple(255 * value for value in view.mean),
        tuple(255 * value for value in view.std),
        weights,
        _tuple(IMAGENET_CATEGORIES),
    )


def _of_mmpretrain(role: str, name: str, classes: int, weights: Optional[str]) -> NamedModel:
    """By a config, or by a name or a part of it."""
    if '::' in name or name.endswith('.py'):
        path, found = name, published(name)
    else:
        model = _choice(role, name)
        path, found = model.config, [model]
    if weights is None and not found:
        raise ValueError(
            f'--{role} "{name}": MMPretrain publishes no weights for it: give a file with '
            f'--{role}-weights, or "none" to start from scratch.'
        )
    config = stock_model(path, {}, f'--{role}', any_type=True)
    own = IMAGENET_CATEGORIES if found and '_in1k' in found[0].name else None
    title = found[0].name if found else Path(path.split('::')[-1]).stem
    model = _fitted(role, title, config, _test_pipeline(path), classes)
    return model._replace(weights=found[0].weights if found else None, classes=_tuple(own))


def _choice(role: str, name: str):
    """The published model that a part of a name stands for."""
    known = all_published()
    wanted = SHORT.get(name, name).lower()
    if wanted in known:
        return known[wanted]
    # "resnet50" is resnet50_8xb32_in1k, no wide-resnet50 and none for CIFAR.
    begin = [each for each in known if each.startswith(f'{wanted}_') and '_in1k' in each]
    having = [each for each in known if wanted in each]
    if not begin and len(having) != 1:
        several = f'is a part of {len(having)} names' if having else 'is no model of MMPretrain'
        raise ValueError(
            f'--{role} "{name}" {several} (mmcskd models lists them). '
            + nearest(name, having or [*known, *SHORT, *SMALL])
        )
    return known[min(begin or having, key=len)]


def _of_checkpoint(role: str, path: str, classes: int) -> NamedModel:
    """A checkpoint of one's own, of a training whose config it carries, read as data."""
    given = f'--{role} "{path}"'
    content = read_checkpoint(path, given)
    text = (content.get('meta') or {}).get('cfg') if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise ValueError(
            f'{given} carries no config of its training: name the model with --{role} and this '
            f'file with --{role}-weights.'
        )
    try:
        cfg = read_saved_config(text, ['model', 'data_preprocessor', 'val_dataloader'])
        model = cfg.get('model') or ConfigDict()
        model = check_saved_config(model.get('architecture', model), 'model', MODELS)
    except SavedConfigError as error:
        raise ValueError(f'{given}: {error}') from None
    if cfg.get('data_preprocessor') and not model.get('data_preprocessor'):
        model['data_preprocessor'] = cfg.data_preprocessor
    pipeline = ((cfg.get('val_dataloader') or {}).get('dataset') or {}).get('pipeline') or []
    found = _fitted(role, Path(path).stem, model, pipeline, classes)
    return found._replace(
        weights=str(Path(path).resolve()), classes=_tuple(checkpoint_classes(content))
    )


def _fitted(
    role: str, name: str, config: ConfigDict, pipeline: List[dict], classes: int
) -> NamedModel:
    """A stock model for other classes, and the images that it takes."""
    config = config.to_dict()
    kind = type_name(config)
    if kind in ('TimmClassifier', 'TorchvisionClassifier') and role == 'teacher':
        config['num_classes'] = classes
    elif kind in ('ImageClassifier', 'CSKDClassifier') and isinstance(config.get('head'), dict):
        config['type'] = 'ImageClassifier'
        config['head'].update(num_classes=classes)
        for unused in ('loss', 'topk', 'init_cfg'):
            config['head'].pop(unused, None)
    else:
        raise ValueError(
            f'--{role} "{name}" is a model of type "{kind}", expected an image classifier.'
        )
    preprocessor = config.pop('data_preprocessor', None) or {}
    for unused in ('train_cfg', 'pretrained', 'init_cfg', '_scope_', 'vote', 'finetune', 'loss'):
        config.pop(unused, None)
    if (config.get('backbone', {}).get('init_cfg') or {}) and 'backbone' in config:
        config['backbone'].pop('init_cfg')
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean and std and not preprocessor.get('to_rgb', False):
        mean, std = mean[::-1], std[::-1]
    scale: Dict[str, Any] = dict(mean=tuple(mean), std=tuple(std)) if mean and std else IMAGENET
    size = config.get('backbone', {}).get('img_size') or pipeline_size(pipeline) or 224
    return NamedModel(name, config, size if isinstance(size, int) else size[0], **scale)


def _test_pipeline(path: str) -> List[dict]:
    from mmengine.hub import get_config

    cfg = get_config(path) if '::' in path else Config.fromfile(path)
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    return (loader.get('dataset') or {}).get('pipeline') or []


def _is_vit(config: Dict[str, Any]) -> bool:
    return config.get('backbone', {}).get('type', '').endswith('VisionTransformer')


def _tuple(names) -> Optional[Tuple[str, ...]]:
    return None if names is None else tuple(names)
