# DeiT-S without a teacher, by the recipe of cskd_deit-s_regnety.py.
_base_ = './_base_/deit-s_300e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer'),
    head=dict(type='VisionTransformerClsHead', loss=dict(loss_weight=1.0)),
)
