# DeiT-B without a teacher, by the recipe of cskd_deit-b_regnety.py.
_base_ = './none_deit-s.py'

model = dict(backbone=dict(arch='deit-base'), head=dict(in_channels=768))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
param_scheduler = [{**_base_.param_scheduler[0], 'start_factor': 4e-3}, _base_.param_scheduler[1]]
auto_scale_lr = dict(base_batch_size=256)
