# What the demo's detectors share: MMDetection's runtime, the scenes, the distilled student's ViT.
_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

data_preprocessor = dict(
    type='mmdet.DetDataPreprocessor', mean=[32.0] * 3, std=[64.0] * 3, pad_size_divisor=32
)
dataset = dict(
    type='CocoDataset',
    data_root='data/digit_scenes',
    metainfo=dict(classes=[*'0123456789']),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='instances_training.json',
        data_prefix=dict(img='images/training'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            # Of at least 48 pixels a side, so batches are padded: what lies beyond is ignored.
            dict(type='RandomCrop', crop_type='absolute_range', crop_size=(48, 64)),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        ann_file='instances_validation.json',
        data_prefix=dict(img='images/validation'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file='data/digit_scenes/instances_validation.json', metric='bbox'
)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=600)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=1200),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=600, max_keep_ckpts=1),
)

vit = dict(
    type='mmrazor.WindowedVisionTransformer',
    arch=dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384),
    img_size=64,
    patch_size=8,
    window_size=5,
    global_layers=(1, 3),
)
# Levels of strides 8 and 16 on both sides, boxes of 16 to 32 pixels.
anchors = dict(
    type='AnchorGenerator',
    octave_base_scale=2,
    scales_per_octave=2,
    ratios=[1.0, 2.0],
    strides=[8, 16],
)
retina_head = dict(
    type='RetinaHead',
    num_classes=10,
    in_channels=48,
    stacked_convs=1,
    feat_channels=48,
    anchor_generator=anchors,
    bbox_coder=dict(
        type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0, 1.0, 1.0, 1.0]
    ),
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    loss_bbox=dict(type='L1Loss', loss_weight=1.0),
)
retina_train_cfg = dict(
    assigner=dict(
        type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=0.5
    ),
    sampler=dict(type='PseudoSampler'),
    allowed_border=-1,
    pos_weight=-1,
    debug=False,
)
retina_test_cfg = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.5),
    max_per_img=20,
)
# The teacher: the first three stages of a narrow ResNet-18.
resnet18 = dict(
    type='ResNet',
    depth=18,
    stem_channels=32,
    base_channels=32,
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(1, 2),
    norm_cfg=dict(type='BN'),
    norm_eval=False,
)
retinanet = dict(
    _scope_='mmdet',
    type='RetinaNet',
    backbone=resnet18,
    neck=dict(type='FPN', in_channels=[64, 128], out_channels=48, num_outs=2),
    bbox_head=retina_head,
    train_cfg=retina_train_cfg,
    test_cfg=retina_test_cfg,
)
