# The demo's CNN detector, trained from scratch.
_base_ = './det_digits.py'

model = _base_.retinanet
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_iters=1500, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=1500),
]
default_hooks = dict(checkpoint=dict(interval=1500))
