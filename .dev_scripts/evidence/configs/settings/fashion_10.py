# Of each class 10 images: 375 epochs are 750 iterations, as many as in fashion_short.py.
_base_ = './fashion.py'

train_dataloader = dict(dataset=dict(length=100))
train_cfg = dict(max_epochs=375)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=94, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=94, convert_to_iter_based=True),
]
