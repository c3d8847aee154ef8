"""What the benchmarks train: shipped configs with a random teacher, as fast as a trained one."""

import torch
import torch.nn.functional as F
from measure import ROOT
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from mmcskd.bank.condense import condense
from mmcskd.bank.image_checksum import batch_checksum, image_checksums
from mmcskd.bank.response_bank import ShardWriter, shard_path

LAMBDA = 0.5


def plain_loss(tokens, head_dist, feature, classify):
    """The hard losses, written without a thought for their cost and without the package.

    That is what the package is compared with: d at every location, every patch token through the
    head and only then pooled. One DeiT term, weighed by 0.5. Returns the loss and its tensors,
    which live until the backward pass where a step is one function.
    """
    with torch.no_grad():
        g = classify(feature.mean((2, 3)))
        d = classify(feature.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        target = LAMBDA * d + (1 - LAMBDA) * g[:, :, None, None]
    deit = F.cross_entropy(head_dist(tokens[:, 1]), g.argmax(1))
    z_tok = head_dist(tokens[:, 2:]).transpose(1, 2)
    side = int(z_tok.shape[2] ** 0.5)
    z_s = F.adaptive_avg_pool2d(z_tok.unflatten(2, (side, side)), target.shape[-2:])
    return 0.5 * deit + F.cross_entropy(z_s, target.argmax(1)), (d, target, z_tok, z_s)


def config(name):
    """A shipped config, named without suffix, with a random teacher and a fixed fusion weight."""
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
    """Random images and labels, as models take them."""
    samples = [DataSample().set_gt_label(i % classes).to(device) for i in range(size)]
    return torch.randn(size, 3, side, side, device=device), samples


def total(algorithm, inputs, samples):
    """The sum of an algorithm's losses of a batch."""
    losses = algorithm.loss(inputs, samples)
    return sum(value for key, value in losses.items() if 'loss' in key)


def from_bank(cfg, folder, inputs, device='cpu'):
    """The algorithm of a config with a bank of one batch of random responses, made in a folder."""
    side, classes = inputs.shape[-1] // 32, 1000
    d = torch.randn(len(inputs), classes, side, side)
    g = d.mean((2, 3)) + 0.3 * torch.randn(len(inputs), classes)
    meta = dict(grid=[side, side], teacher_grid=[side, side], num_classes=classes, run='')
    writer = ShardWriter(shard_path(folder, 0, 0), meta)
    writer.add(condense(d, g, batch_checksum(image_checksums(inputs))))
    writer.write()
    cfg.model.bank = dict(path=str(folder))
    algorithm = MODELS.build(cfg.model).to(device).train()
    algorithm.teacher.open(epochs=1, length=1, rank=0, run='')
    MessageHub.get_current_instance().update_info('iter', 0)
    return algorithm
