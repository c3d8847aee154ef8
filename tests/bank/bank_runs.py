"""Runs of the demo in small, with the teacher or from a bank."""

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tool_runs import ROOT

DEMO = ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py'
EPOCHS = 3
SCHEDULES = {
    'linear': dict(schedule='linear'),
    'x2': dict(schedule='x2'),
    'cos': dict(schedule='cos'),
    'by-epoch': dict(schedule='linear', by_epoch=True),
    'constant': dict(schedule=dict(type='constant', value=0.3)),
}


@HOOKS.register_module()
class KeepAll(Hook):
    """Every loss of every iteration, to the last bit."""

    def before_run(self, runner):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: float(value) for key, value in outputs.items()})


def config(home, name, bank=None, workers=0, schedule=SCHEDULES['linear'], **changes):
    """The demo in small: mixup or cutmix, repeated augmentation, random crops."""
    cfg = Config.fromfile(DEMO)
    cfg.work_dir = str(home / name)
    cfg.model.teacher_ckpt = str(home / 'teacher.pth')
    cfg.train_dataloader.update(
        batch_size=8,
        num_workers=workers,
        persistent_workers=workers > 0,
        sampler=dict(type='RepeatAugSampler', num_repeats=3, shuffle=True),
        drop_last=False,
    )
    cfg.train_dataloader.dataset.length = 36
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.train_cfg.max_epochs = EPOCHS
    augments = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    cfg.model.architecture.head.loss = dict(type='CrossEntropyLoss', use_soft=True, loss_weight=0.5)
    cfg.model.data_preprocessor = dict(
        cfg.data_preprocessor, batch_augments=dict(augments=augments), _scope_='mmpretrain'
    )
    cfg.default_hooks.checkpoint = dict(type='mmrazor.AtomicCheckpointHook', save_best=None)
    cfg.custom_hooks = [dict(type='mmrazor.CKFHook', **schedule), dict(type='KeepAll')]
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.launcher, cfg.experiment_name = 'none', f'{home.name}_{name}_{np.random.bytes(4).hex()}'
    if bank is not None:
        cfg.model.bank = dict(path=str(bank))
        cfg.custom_hooks.append(dict(type='mmrazor.ResponseBankHook'))
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg):
    """Losses of all iterations, and the weights at the end."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    (kept,) = [hook for hook in runner.hooks if isinstance(hook, KeepAll)]
    return kept.losses, runner.model.state_dict()
