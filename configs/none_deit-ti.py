# DeiT-Ti without a teacher, by the recipe of cskd_deit-ti_regnety.py.
_base_ = './none_deit-s.py'

model = dict(backbone=dict(arch='deit-tiny'), head=dict(in_channels=192))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [{**_base_.param_scheduler[0], 'start_factor': 1e-3}, _base_.param_scheduler[1]]
auto_scale_lr = dict(base_batch_size=1024)
