"""One training step of a pair of stock models at reduced cost, and what must hold of it."""

import copy
from typing import Dict, List, Tuple

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS as PRETRAIN_MODELS
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmcskd  # noqa: F401, registers everything

# Beside each of these kinds of teachers, the side of the smallest images it takes with more than
# one location left; 64 for all others.
SMALLEST = dict(
    AlexNet=224,
    Conformer=224,
    ConvMixer=32,
    DaViT=224,
    EfficientFormer=224,
    InceptionV3=139,
    LeNet5=32,
    PyramidVig=224,
    ResNet_CIFAR=32,
    VGG=224,
    Vig=224,
)
FLAT = (
    'BEiTViT',
    'DeiT3',
    'DistilledVisionTransformer',
    'MoCoV3ViT',
    'RevVisionTransformer',
    'ViTEVA02',
    'VisionTransformer',
)
DEEP = ('DaViT', 'SwinTransformer', 'SwinTransformerV2')
BATCH = 2
TOLERANCE = 1e-5


class Upstream(Exception):
    """A stock config that MMPretrain itself cannot load, build or run."""


def try_pair(teacher: ConfigDict, student: ConfigDict, size: int, distiller: dict) -> Dict:
    """Let one ``ImageClassifier`` teach another for one step, and check what must hold.

    Weights are random, with batch statistics that keep numbers in range.

    Args:
        teacher (ConfigDict): Takes the images at :func:`teacher_size`.
        student (ConfigDict): Takes them at ``size``.
        size (int): Side of the student's images, pixels.
        distiller (dict): Without a DeiT term.

    Returns:
        dict: ``teacher_grid`` and ``student_grid`` (height, width), ``pooling`` (the names of the
        recorder), ``linear`` (whether the mean of d is g), ``tokens`` (their source) and ``extra``
        (how many are no patches).

    Raises:
        Upstream: If MMPretrain itself cannot build or run a model.
        ValueError: If the pair is refused.
        AssertionError: If something does not hold, which it names.
    """
    torch.manual_seed(0)
    classes = student.head.get('num_classes', 1000)
    view = teacher_size(teacher)
    algorithm = _build(teacher, student, view, distiller)
    images = torch.randn(BATCH, student.backbone.get('in_channels', 3), size, size)
    samples = [DataSample().set_gt_label(i % classes) for i in range(BATCH)]
    found = _check_teacher(algorithm, images)

    algorithm.train()
    seen: List[Tuple] = []
    tokens = algorithm.student.token_source
    read = tokens.stop
    tokens.stop = lambda: seen.append(read()) or seen[-1]
    losses = algorithm(images, samples, mode='loss')
    total = sum(value for key, value in losses.items() if key.startswith('loss'))
    assert torch.isfinite(total), f'losses {losses}'
    total.backward()
    _check_gradients(algorithm, images, samples)
    before = torch.cat([p.detach().flatten().clone() for p in algorithm.student.parameters()])
    torch.optim.SGD(algorithm.parameters(), lr=0.1).step()
    after = torch.cat([p.detach().flatten() for p in algorithm.student.parameters()])
    assert not torch.equal(before, after), 'the step changed nothing'
    score = algorithm.student.eval()(images)
    assert score.shape == (BATCH, classes), f'the score is {tuple(score.shape)}'
    record = seen[0]
    found.update(
        student_grid=list(record.grid), extra=record.num_extra_tokens, tokens=tokens.source
    )
    return found


def teacher_size(model: ConfigDict) -> int:
    """Side of the smallest images that a teacher takes with more than one location left, pixels."""
    kind = model.backbone.type
    return SMALLEST.get(kind, model.backbone.get('img_size', 64) if kind == 'RepMLPNet' else 64)


def student_size(cfg: Config) -> int:
    """Side of the images a config trains on, pixels."""
    side = cfg.model.backbone.get('img_size')
    if cfg.model.backbone.type == 'TinyViT' and side:  # its pipelines say another
        return side if isinstance(side, int) else side[0]
    pipeline = ((cfg.get('train_dataloader') or {}).get('dataset') or {}).get('pipeline') or []
    for step in pipeline:
        side = step.get('scale') or step.get('crop_size')
        if isinstance(side, int):
            return side
    return 224


def read(path: str) -> Config:
    """A stock config; an ``Upstream`` if MMEngine cannot read it."""
    try:
        return Config.fromfile(path)
    except Exception as error:
        raise Upstream(f'cannot be read: {error}') from error


def lighter(model: ConfigDict) -> ConfigDict:
    """The same kind, resolution, width and layout, with fewer layers, and no weights by URL."""
    model = copy.deepcopy(model)
    backbone = model.backbone
    backbone = backbone.module if backbone.type == 'LoRAModel' else backbone
    for part in (model, backbone, model.get('head') or {}):
        part.pop('init_cfg', None)
    model.pop('pretrained', None)
    kind, arch = backbone.type, backbone.get('arch', 'base')
    zoo = getattr(PRETRAIN_MODELS.get(kind), 'arch_zoo', {})
    known = zoo.get(arch.lower() if kind in FLAT else arch) if isinstance(arch, str) else None
    if kind == 'XCiT':
        backbone.depth = 2
    elif known and kind in FLAT:
        backbone.arch = dict(known, num_layers=2)
        if 'frozen_stages' in backbone:
            backbone.frozen_stages = min(backbone.frozen_stages, 2)
    elif known and kind in DEEP:
        backbone.arch = dict(known, depths=[min(depth, 2) for depth in known['depths']])
    return model


def _build(teacher: ConfigDict, student: ConfigDict, view: int, distiller: dict) -> nn.Module:
    for model in (teacher, student):
        try:
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                PRETRAIN_MODELS.build(copy.deepcopy(model))
        except Exception as error:
            raise Upstream(f'cannot be built: {error}') from error
    distiller = copy.deepcopy(distiller)
    distiller['distill_losses']['loss_cskd']['fusion_weight'] = 0.5
    architecture = dict(student.to_dict(), type='mmpretrain.CSKDClassifier')
    algorithm = MODELS.build(
        dict(
            _scope_='mmrazor',
            type='FrozenTeacherDistill',
            architecture=architecture,
            teacher=dict(teacher.to_dict(), _scope_='mmpretrain'),
            random_teacher=True,
            teacher_view=dict(size=view),
            distiller=distiller,
        )
    )
    # What is zero at first, such as a classifier, lets no gradient through.
    for weight in algorithm.student.parameters():
        if weight.requires_grad and not weight.any():
            nn.init.normal_(weight, std=0.02)
    return algorithm


@torch.no_grad()
def _check_teacher(algorithm: nn.Module, images: Tensor) -> Dict:
    """g is the teacher's own logits, and d says something of places."""
    teacher = algorithm.teacher
    try:
        _settle(teacher, images)
        own = teacher(images, mode='tensor')
    except Exception as error:
        raise Upstream(f'cannot run: {error}') from error
    manager = algorithm.distiller.teacher_recorders
    with manager:
        teacher(images, mode='tensor')
    (recorder,) = manager.recorders.values()
    d, g = recorder.get_record_data(data_idx=0), recorder.get_record_data(data_idx=1)
    scale = float(own.abs().max())
    assert torch.isfinite(d).all() and scale > 0, 'responses are not finite'
    error = float((g - own).abs().max()) / scale
    assert error < TOLERANCE, f'g is {error:.1e} away from the own logits'
    assert float(d.std((2, 3)).mean()) > 1e-3 * scale, 'd is the same everywhere'
    mean = float((d.mean((2, 3)) - g).abs().max()) / scale
    linear = _linear_tail(teacher)
    assert mean < TOLERANCE or not linear, f'the mean of d is {mean:.1e} away from g'
    return dict(
        teacher_grid=list(d.shape[-2:]),
        pooling=[recorder._feature, recorder.source, recorder._logits],
        linear=mean < TOLERANCE,
    )


def _settle(model: nn.Module, images: Tensor) -> None:
    """Batch statistics as of one batch."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    model(images, mode='tensor')
    model.eval()


def _linear_tail(model: nn.Module) -> bool:
    """Whether nothing but a linear layer follows an average, as far as the modules' types tell."""
    neck = getattr(model, 'neck', None)
    last = neck[-1] if isinstance(neck, nn.Sequential) else neck
    return type(last).__name__ == 'GlobalAveragePooling' and type(model.head).__name__ in (
        'LinearClsHead',
        'VisionTransformerClsHead',
    )


def _check_gradients(algorithm: nn.Module, images: Tensor, samples: List[DataSample]) -> None:
    """Every weight of the student learns that learns in the stock model, none of the teacher."""
    teaching = [name for name, p in algorithm.teacher.named_parameters() if p.grad is not None]
    assert not teaching, f'the teacher has gradients in {teaching[:3]}'
    student = algorithm.student
    missing = [p for p in student.named_parameters() if p[1].requires_grad and p[1].grad is None]
    if missing:
        losses = student(images, samples, mode='loss')
        total = sum(value for key, value in losses.items() if 'loss' in key)
        stock = torch.autograd.grad(total, [p for _, p in missing], allow_unused=True)
        left_out = [name for (name, _), given in zip(missing, stock) if given is not None]
        assert not left_out, f'no gradient in {left_out[:3]}, but in the stock model'
