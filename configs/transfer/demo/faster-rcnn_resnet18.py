# The demo's CNN detector of two stages, trained from scratch.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './rcnn_digits.py']

model = dict(
    _scope_='mmdet',
    data_preprocessor=dict(_delete_=True, **_base_.data_preprocessor),
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(_delete_=True, **_base_.neck),
    rpn_head=_base_.rpn_head,
    roi_head=_base_.bbox_head,
    train_cfg=_base_.train_settings,
    test_cfg=_base_.test_settings,
)
