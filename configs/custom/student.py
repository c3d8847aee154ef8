# The student for your own folders: the teacher of teacher.py teaches DeiT-Ti by CSKD+.
_base_ = ['./data.py', './distillers.py']

model = dict(
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture={**_base_.vit, 'head': {**_base_.vit.head, 'loss': dict(loss_weight=0.5)}},
    teacher={**_base_.cnn, 'backbone': {**_base_.cnn.backbone, 'pretrained': False}},
    teacher_ckpt='work_dirs/teacher/epoch_15.pth',
    distiller=_base_.cskd_distiller,
)
data_preprocessor = dict(batch_augments=_base_.mixes)
custom_hooks = [_base_.vit_weights]
