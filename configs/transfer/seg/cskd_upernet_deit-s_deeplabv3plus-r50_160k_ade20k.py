# DeepLabV3+ on ResNet-50 teaches UPerNet on a distilled DeiT-S, patch by patch.
_base_ = ['./upernet_deit-s_160k_ade20k.py', '../_base_/deeplabv3plus.py']

model = dict(_delete_=True, architecture=_base_.model, **_base_.teaching)
custom_hooks = [*_base_.custom_hooks, _base_.segmentation_fusion]
