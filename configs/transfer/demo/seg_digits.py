# What the demo's segmentors share: MMSegmentation's runtime and the scenes.
_base_ = ['mmseg::_base_/default_runtime.py', './digits_vit.py']

data_preprocessor = dict(
    type='mmseg.SegDataPreProcessor',
    mean=_base_.mean,
    std=_base_.std,
    size=(48, 48),
    pad_val=0,
    seg_pad_val=255,
)
dataset = dict(
    type='BaseSegDataset',
    data_root='data/digit_scenes',
    img_suffix='.png',
    reduce_zero_label=True,
    metainfo=dict(classes=['background', *'0123456789']),
)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=True)]
pack = [dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=16,
    **_base_.train_loader,
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=[
            *load,
            # Digits are moved but not mirrored; pixels beyond the canvas are ignored.
            dict(type='Pad', size=(64, 64), pad_val=dict(img=0, seg=255)),
            dict(type='RandomCrop', crop_size=(48, 48)),
            *pack,
        ],
    ),
)
val_dataloader = dict(
    **_base_.val_loader,
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[*load, *pack],
    ),
)
test_dataloader = val_dataloader
# A larger batch than the detectors', for fewer iterations.
train_cfg = dict(max_iters=600, val_interval=600)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=600),
]
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    **_base_.resumable,
)

vit = dict(type='mmpretrain.DistilledVisionTransformer', out_type='featmap', **_base_.vit)
segmentor = dict(
    _scope_='mmseg', type='EncoderDecoder', train_cfg=dict(), test_cfg=dict(mode='whole')
)
head = dict(num_classes=11, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False))
# The teacher: the backbone of the demo's CNN classifier at stride 4.
teacher = dict(
    backbone=dict(
        type='ResNet',
        num_stages=2,
        strides=(1, 1),
        dilations=(1, 2),
        contract_dilation=True,
        out_indices=(1,),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/demo/teacher_resnet18/epoch_6.pth',
            prefix='backbone.',
        ),
        **_base_.resnet18,
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=64,
        in_index=0,
        channels=64,
        num_convs=1,
        concat_input=False,
        norm_cfg=dict(type='BN'),
        **head,
    ),
    **segmentor,
)
