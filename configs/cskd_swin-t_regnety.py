# A hierarchical student: the stock Swin-T, by the same recipe. No result of it is published.
_base_ = './cskd_deit-s_regnety.py'

model = dict(
    architecture=dict(
        _delete_=True,
        type='mmpretrain.CSKDClassifier',
        cfg_path='mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
        backbone=dict(drop_path_rate=0.0),
    ),
    distiller=dict(_delete_=True, **_base_.patch_distiller),
)
