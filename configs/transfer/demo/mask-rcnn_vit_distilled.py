# Mask R-CNN on the demo's ViT, from the backbone that CSKD distilled on single digits.
_base_ = './mask-rcnn_vit.py'

custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/demo/cskd_vit_resnet18/epoch_14.pth',
    )
]
