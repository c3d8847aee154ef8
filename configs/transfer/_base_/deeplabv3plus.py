# DeepLabV3+ on ResNet-50 as the teacher of a segmentor, on the grid of the student's patches.
_base_ = './distillers.py'

teaching = dict(
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    teacher=dict(
        cfg_path='mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py',
        pretrained=False,
    ),
    teacher_ckpt='https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3plus/deeplabv3plus_r50-d8_512x512_160k_ade20k/deeplabv3plus_r50-d8_512x512_160k_ade20k_20200615_124504-6135c7e0.pth',
    distiller=_base_.segmentation_distiller,
)
