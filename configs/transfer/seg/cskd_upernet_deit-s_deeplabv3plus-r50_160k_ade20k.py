# DeepLabV3+ on ResNet-50 teaches UPerNet on a distilled DeiT-S, patch by patch.
_base_ = ['./upernet_deit-s_160k_ade20k.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=dict(
        cfg_path='mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py',
        pretrained=False,
    ),
    teacher_ckpt='https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3plus/deeplabv3plus_r50-d8_512x512_160k_ade20k/deeplabv3plus_r50-d8_512x512_160k_ade20k_20200615_124504-6135c7e0.pth',
    distiller=_base_.segmentation_distiller,
)
custom_hooks = [
    dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth'),
    # The image's mean answers for no pixel; fused in, it did harm on the demo: see docs/transfer.md.
    dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=1.0)),
]
