# What the demo's segmentors share: MMSegmentation's runtime, the scenes, the distilled student's ViT.
_base_ = 'mmseg::_base_/default_runtime.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

data_preprocessor = dict(
    type='mmseg.SegDataPreProcessor',
    mean=[32.0] * 3,
    std=[64.0] * 3,
    size=(64, 64),
    pad_val=0,
    seg_pad_val=255,
)
dataset = dict(
    type='BaseSegDataset',
    data_root='data/digit_scenes',
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    img_suffix='.png',
    reduce_zero_label=True,
    metainfo=dict(classes=['background', *'0123456789']),
)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=True)]
pack = [dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        **dataset,
        pipeline=[
            *load,
            # Digits move, but are not mirrored; beyond the canvas nothing counts.
            dict(type='Pad', size=(80, 80), pad_val=dict(img=0, seg=255)),
            dict(type='RandomCrop', crop_size=(64, 64)),
            *pack,
        ],
    ),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **{
            **dataset,
            'data_prefix': dict(
                img_path='images/validation', seg_map_path='annotations/validation'
            ),
        },
        pipeline=[*load, *pack],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=600)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=1200),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=600, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)

vit = dict(
    type='mmpretrain.DistilledVisionTransformer',
    arch=dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384),
    img_size=64,
    patch_size=8,
    out_type='featmap',
)
loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=False)
# The teacher: the first half of a narrow ResNet-18, at stride 4.
fcn = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=2,
        strides=(1, 1),
        dilations=(1, 2),
        out_indices=(1,),
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=64,
        in_index=0,
        channels=64,
        num_convs=1,
        concat_input=False,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        loss_decode=loss_decode,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
