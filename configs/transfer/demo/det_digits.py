# What the demo's detectors share: MMDetection's runtime and the scenes.
_base_ = ['mmdet::_base_/default_runtime.py', './digits_vit.py']

data_preprocessor = dict(
    type='mmdet.DetDataPreprocessor', mean=_base_.mean, std=_base_.std, pad_size_divisor=16
)
dataset = dict(
    type='CocoDataset',
    data_root='data/digit_scenes',
    metainfo=dict(classes=[*'0123456789']),
)
train_dataloader = dict(
    batch_size=8,
    **_base_.train_loader,
    dataset=dict(
        **dataset,
        ann_file='instances_training.json',
        data_prefix=dict(img='images/training'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            # At least 40 pixels a side, so batches are padded; padding is ignored.
            dict(type='RandomCrop', crop_type='absolute_range', crop_size=(40, 48)),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    **_base_.val_loader,
    dataset=dict(
        **dataset,
        ann_file='instances_validation.json',
        data_prefix=dict(img='images/validation'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(48, 48)),
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
log_processor = dict(by_epoch=False)
default_hooks = dict(logger=dict(log_metric_by_epoch=False), **_base_.resumable)

vit = dict(
    type='mmrazor.WindowedVisionTransformer', window_size=3, global_layers=(1, 3), **_base_.vit
)
