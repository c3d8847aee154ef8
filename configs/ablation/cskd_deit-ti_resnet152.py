# The teacher is ResNet-152, 78.5 % top-1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::resnet/resnet152_8xb32_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet152_8xb32_in1k_20210901-4d7582fa.pth',
)
