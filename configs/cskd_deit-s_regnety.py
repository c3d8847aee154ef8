# CSKD: a RegNetY-16GF teaches DeiT-S. Published by the authors: 82.3 % top-1.
_base_ = ['./_base_/deit-s_300e.py', './_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='TIMMBackbone', model_name='regnety_160'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=3024),
    ),
    teacher_ckpt='https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth',
    distiller=_base_.cskd_distiller,
)
custom_hooks = [*_base_.custom_hooks, dict(type='mmrazor.CKFHook', schedule='linear')]
