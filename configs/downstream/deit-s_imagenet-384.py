# DeiT-S on ImageNet at 384, its head taken over. By DeiT's authors for DeiT-B (README_deit.md):
# AdamW, total batch 512, learning rate 5e-6 throughout after the warm-up, weight decay 1e-8, 30
# epochs.
_base_ = '../_base_/finetune_deit-s.py'

model = dict(backbone=dict(img_size=384))
custom_hooks = [{**_base_.custom_hooks[0], 'head': True}]
load, crop, *augment = _base_.train_pipeline
train_dataloader = dict(
    batch_size=64, dataset=dict(pipeline=[load, {**crop, 'scale': 384}, *augment])
)
# 384 · 256 / 224 = 438
load, resize, crop, pack = _base_.test_pipeline
val_dataloader = dict(
    dataset=dict(pipeline=[load, {**resize, 'scale': 438}, {**crop, 'crop_size': 384}, pack])
)
test_dataloader = val_dataloader

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-6, weight_decay=1e-8, eps=1e-8)
)
param_scheduler = [
    {**_base_.param_scheduler[0], 'start_factor': 0.2},
    {**_base_.param_scheduler[1], 'eta_min': 5e-6},
]
train_cfg = dict(max_epochs=30, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=512)
