# The teacher is ResNet-101, 78.0 % top-1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::resnet/resnet101_8xb32_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet101_8xb32_in1k_20210831-539c63f8.pth',
)
