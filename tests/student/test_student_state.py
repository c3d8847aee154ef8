"""What a run of the ImageNet size saves and synchronises is the student alone."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from models import algorithm_config, batch, build
from torch.utils.data import Dataset

CONFIGS = Path(__file__).parents[2] / 'configs'


@DATASETS.register_module()
class NoiseOfImageNetSize(Dataset):
    metainfo = {'classes': [str(i) for i in range(1000)]}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(
            inputs=torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8),
            data_samples=DataSample().set_gt_label(index),
        )


def checkpoint_of(config, tmp_path):
    """One iteration of a shipped config, up to its checkpoint."""
    cfg = Config.fromfile(CONFIGS / config)
    cfg.work_dir = str(tmp_path / config)
    cfg.train_dataloader = dict(
        batch_size=2,
        dataset=dict(type='NoiseOfImageNetSize'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, [dict(type='ConstantLR', factor=0.5)]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.visualizer.vis_backends = []
    cfg.experiment_name = config
    if 'teacher' in cfg.model:
        cfg.model.update(teacher_ckpt=None, random_teacher=True)
    Runner.from_cfg(cfg).train()
    return tmp_path / config / 'epoch_1.pth'


@pytest.mark.slow
def test_checkpoint_is_no_larger_than_without_a_teacher(tmp_path):
    """DeiT-Ti with a RegNetY-16GF of 84 million weights, against its twin without a teacher."""
    ours = checkpoint_of('cskd_deit-ti_regnety.py', tmp_path)
    plain = checkpoint_of('none_deit-ti.py', tmp_path)
    # The distillation token and head are part of the student.
    assert ours.stat().st_size < 1.05 * plain.stat().st_size

    saved, twin = (torch.load(path, map_location='cpu') for path in (ours, plain))
    extra = {'backbone.dist_token', 'head.layers.head_dist.weight', 'head.layers.head_dist.bias'}
    expected = {f'architecture.{name}' for name in set(twin['state_dict']) | extra}
    assert set(saved['state_dict']) == expected
    averaged = {f'module.{name}' for name in expected} | {'steps'}
    assert set(saved['ema_state_dict']) == averaged
    assert len(saved['optimizer']['state']) == len(twin['optimizer']['state']) + len(extra)
    assert {'message_hub', 'param_schedulers', 'meta'} <= set(saved)


@pytest.fixture
def process_group(tmp_path):
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_ddp_sees_the_student_alone(process_group):
    algorithm = build(algorithm_config())
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(0.5)
    wrapped = MMDistributedDataParallel(module=algorithm, broadcast_buffers=True)
    held = {id(p) for p in wrapped.parameters()}
    assert held == {id(p) for p in algorithm.student.parameters()}
    # What DDP would broadcast before every forward pass.
    teacher = {id(b) for b in algorithm.teacher.buffers()}
    assert teacher and not teacher & {id(b) for b in wrapped.modules_buffers}
    losses = wrapped(*batch(), mode='loss')
    wrapped.module.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in algorithm.parameters())
