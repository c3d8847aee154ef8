# Another teacher: MMPretrain's ResNet-50, with its config and weights.
_base_ = './cskd_deit-s_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
)
