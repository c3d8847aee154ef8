# CSKD: a RegNetY-16GF teaches DeiT-Ti, total batch 1024. Published by the authors: 76.3 % top-1.
_base_ = './cskd_deit-s_regnety.py'

model = dict(architecture=dict(backbone=dict(arch='deit-tiny'), head=dict(in_channels=192)))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [{**_base_.param_scheduler[0], 'start_factor': 1e-3}, _base_.param_scheduler[1]]
auto_scale_lr = dict(base_batch_size=1024)
