# What the demo's RetinaNets share: the head, on levels of strides 8 and 16.
_base_ = './det_digits.py'

neck_channels = 48
retinanet = dict(
    _scope_='mmdet',
    type='RetinaNet',
    bbox_head=dict(
        type='RetinaHead',
        num_classes=10,
        in_channels=neck_channels,
        stacked_convs=1,
        feat_channels=neck_channels,
        # Boxes have 12 to 32 pixels a side and are upright.
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=2,
            ratios=[1.0, 2.0],
            strides=[8, 16],
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0, 1.0, 1.0, 1.0]
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=0.5,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=20,
    ),
)
teacher = dict(
    backbone=dict(
        type='ResNet',
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        norm_eval=False,
        **_base_.resnet18,
    ),
    neck=dict(type='FPN', in_channels=[64, 128], out_channels=neck_channels, num_outs=2),
    **retinanet,
)
