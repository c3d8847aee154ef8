# All images but those of validation, in somewhat more iterations than fashion.py has.
_base_ = './fashion.py'

train_dataloader = dict(dataset=dict(length=55000))
train_cfg = dict(max_epochs=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=215, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=215, end=2580, by_epoch=False),
]
