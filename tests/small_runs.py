"""Shipped configs, and those of the documents, in small and without a download."""

import copy
from argparse import Namespace

import numpy as np
import torch
from mmrazor.registry import MODELS
from models import ARCH
from PIL import Image

from mmcskd.app.launch import load_config
from mmcskd.bank.bank_writer import BankWriter


def make_imagenet(root):
    """ImageNet in its layout on the disk: a folder for each class, an image in six of them."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for index in range(1000):
            folder = root / split / f'n{index:08d}'
            folder.mkdir(parents=True)
            if index < 6:
                height, width = rng.integers(230, 300, size=2)
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{folder.name}_{index}.JPEG')
    return root


def reduce(path, imagenet, work_dir):
    """The config as the tools load it, in small and without a download."""
    # Three a batch: of two that are mixed with each other the gradients may cancel out.
    options = {'train_dataloader.batch_size': 3, 'train_dataloader.num_workers': 0}
    options.update({'val_dataloader.batch_size': 4, 'val_dataloader.num_workers': 0})
    for loader in ('train_dataloader', 'val_dataloader'):
        if 'demo' in path.parts:
            options[f'{loader}.dataset.length'] = 6
        else:
            options[f'{loader}.dataset.data_root'] = str(imagenet)
    args = Namespace(
        config=str(path), work_dir=str(work_dir), cfg_options=options, launcher='none', local_rank=0
    )
    cfg = load_config(args, ['train_dataloader', 'val_dataloader'])
    shrink(cfg)
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    # MMEngine shares the logs of runs of one name that begin in the same second.
    cfg.experiment_name = f'{path.stem}_{work_dir.parent.name}_{work_dir.name}'
    if 'bank' in cfg.model:
        fill_bank(cfg, work_dir)
    return cfg


def fill_bank(cfg, work_dir):
    """By a teacher whose weights, drawn here, are known again."""
    checkpoint = work_dir / 'teacher.pth'
    torch.save(MODELS.build(cfg.model.teacher).state_dict(), checkpoint)
    cfg.model.update(teacher_ckpt=str(checkpoint), random_teacher=False)
    cfg.model.bank.path = str(work_dir / 'bank')
    BankWriter(copy.deepcopy(cfg), cfg.model.bank.path).write(0, cfg.train_cfg.max_epochs)


def shrink(cfg):
    student = cfg.model.get('architecture', cfg.model)
    if 'swin' in student.get('cfg_path', ''):
        small = dict(_delete_=True, embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4])
        student.backbone = dict(student.get('backbone', {}), arch=small)
        student.head = dict(in_channels=64)
    elif 'VisionTransformer' in student.backbone.type:
        student.backbone.arch, student.head.in_channels = ARCH, ARCH['embed_dims']
    if 'teacher' in cfg.model:
        # Nowhere but here: noise instead of the teacher's weights.
        cfg.model.update(teacher_ckpt=None, random_teacher=True)
        backbone = cfg.model.teacher.get('backbone', {})
        if backbone.get('type') == 'TIMMBackbone':
            assert backbone.model_name == 'regnety_160'
            backbone.model_name, cfg.model.teacher.head.in_channels = 'regnety_002', 368
