# From the backbone that configs/demo/cskd_vit_resnet18.py distilled on single digits.
custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/demo/cskd_vit_resnet18/epoch_14.pth',
    )
]
