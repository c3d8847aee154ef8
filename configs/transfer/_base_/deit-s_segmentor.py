# A DeiT-S in a segmentor: 1,024 patches, of which attention is global.
_base_ = './deit-s.py'

backbone = dict(
    type='mmpretrain.DistilledVisionTransformer',
    img_size=512,
    out_type='featmap',
    **_base_.deit_s,
)
