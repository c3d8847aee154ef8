# Segmenter on a distilled DeiT-S: MMSegmentation's own of ViT-S, other backbone and optimizer.
_base_ = [
    'mmseg::segmenter/segmenter_vit-s_mask_8xb1-160k_ade20k-512x512.py',
    '../_base_/deit-s_segmentor.py',
]

# DeiT's normalisation; the stock config's ViT has 127.5.
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    _scope_='mmseg',
    data_preprocessor=data_preprocessor,
    pretrained=None,
    backbone=dict(_delete_=True, **_base_.backbone),
)
optim_wrapper = dict(_delete_=True, **_base_.layer_decay)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=160000),
]
