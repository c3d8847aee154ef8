# DeiT-S on iNaturalist 2018. By DeiT's authors for DeiT-B (github.com/facebookresearch/deit, thread
# 105): AdamW, total batch 768, learning rate 7.5e-5, weight decay 0.05, 360 epochs, stochastic
# depth 0.1, random erasing 0.1.
_base_ = '../_base_/finetune_deit-s.py'

model = dict(backbone=dict(drop_path_rate=0.1), head=dict(num_classes=8142))
data_preprocessor = dict(num_classes=8142)
*augment, erase, pack = _base_.train_pipeline
train_dataloader = dict(
    dataset=dict(
        type='INaturalist',
        data_root='data/inat2018',
        year=2018,
        split='train',
        pipeline=[*augment, {**erase, 'erase_prob': 0.1}, pack],
    )
)
val_dataloader = dict(
    dataset=dict(type='INaturalist', data_root='data/inat2018', year=2018, split='val')
)
test_dataloader = val_dataloader

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=7.5e-5, weight_decay=0.05, eps=1e-8)
)
param_scheduler = [
    {**_base_.param_scheduler[0], 'start_factor': 1e-6 / 7.5e-5},
    _base_.param_scheduler[1],
]
train_cfg = dict(max_epochs=360)
