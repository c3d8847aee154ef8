"""What the benchmarks train: shipped configs with a random teacher, as time does not depend on weights."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from mmcskd.bank.condense import condense
from mmcskd.bank.image_checksum import image_checksum
from mmcskd.bank.response_bank import ShardWriter, shard_path

ROOT = Path(__file__).resolve().parents[2]
LAMBDA = 0.5


def config(name):
    """A shipped config with a random teacher and a fixed fusion weight.

    Args:
        name (str): Its file below configs/, without the suffix.

    Returns:
        mmengine.Config: It.
    """
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    cfg.model.distiller.distill_losses.loss_cskd.fusion_weight = LAMBDA
    return cfg


def build(cfg, classes=1000, device='cpu'):
    """The algorithm of a config, in training mode, with another number of classes."""
    cfg.model.architecture.head.num_classes = classes
    cfg.model.architecture.head.loss.num_classes = classes
    cfg.model.teacher.head.num_classes = classes
    algorithm = MODELS.build(cfg.model)
    algorithm.init_weights()
    return algorithm.to(device).train()


def batch(size, side, classes=1000, device='cpu'):
    """Random images and labels.

    Args:
        size (int): N.
        side (int): Of the images in pixels.
        classes (int): C.
        device (str): Where.

    Returns:
        tuple[Tensor, list[DataSample]]: Of the forms that models take.
    """
    samples = [DataSample().set_gt_label(i % classes).to(device) for i in range(size)]
    return torch.randn(size, 3, side, side, device=device), samples


def total(algorithm, inputs, samples):
    """The sum of an algorithm's losses of a batch."""
    losses = algorithm.loss(inputs, samples)
    return sum(value for key, value in losses.items() if 'loss' in key)


def bank_of(folder, inputs, classes=1000):
    """A bank of one epoch with one batch, and random responses to it.

    Args:
        folder (Path | str): Where to.
        inputs (Tensor): The batch's images.
        classes (int): C.
    """
    side = inputs.shape[-1] // 32
    d = torch.randn(len(inputs), classes, side, side)
    g = d.mean((2, 3)) + 0.3 * torch.randn(len(inputs), classes)
    meta = dict(grid=[side, side], teacher_grid=[side, side], num_classes=classes)
    writer = ShardWriter(shard_path(folder, 0, 0), meta)
    writer.add(condense(d, g, int(image_checksum(inputs))))
    writer.write()


def from_bank(cfg, folder, inputs, device='cpu'):
    """The algorithm of a config with a bank of one batch in place of the teacher.

    Args:
        cfg (mmengine.Config): The config.
        folder (Path | str): An empty one for the bank.
        inputs (Tensor): The batch's images.
        device (str): Where.

    Returns:
        FrozenTeacherDistill: In training mode, ready for that batch.
    """
    bank_of(folder, inputs)
    cfg.model.bank = dict(path=str(folder))
    algorithm = MODELS.build(cfg.model).to(device).train()
    algorithm.teacher.open(epochs=1, length=1, rank=0)
    MessageHub.get_current_instance().update_info('iter', 0)
    return algorithm
