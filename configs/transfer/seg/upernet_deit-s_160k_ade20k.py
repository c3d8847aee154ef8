# UPerNet on a distilled DeiT-S: MMSegmentation's own of DeiT-S with another backbone and optimizer.
_base_ = [
    'mmseg::vit/vit_deit-s16_mln_upernet_8xb2-160k_ade20k-512x512.py',
    '../_base_/deit-s_segmentor.py',
]

model = dict(
    _scope_='mmseg',
    pretrained=None,
    backbone=dict(_delete_=True, out_indices=(2, 5, 8, 11), **_base_.backbone),
)
optim_wrapper = dict(_delete_=True, **_base_.layer_decay)
