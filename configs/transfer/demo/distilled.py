# From the backbone that CSKD distilled on single digits: demo/demo.sh.
custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/demo/cskd_vit_resnet18/epoch_14.pth',
    )
]
