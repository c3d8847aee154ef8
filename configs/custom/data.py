# Your own folders: set these two. Teacher, student and baseline inherit them and all else below:
# models and their first weights, augmentation, runtime, and a schedule for weights from ImageNet.
data_root = 'data/custom'  # train/<class>/*.jpg and val/<class>/*.jpg
num_classes = 10

_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

# One global pooling and a linear classifier, as CSKD's teachers have them.
cnn = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(type='TIMMBackbone', model_name='regnety_040', pretrained=True),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=1088),
)
vit = dict(
    _scope_='mmpretrain',
    type='CSKDClassifier',
    cfg_path='mmpretrain::deit/deit-tiny-distilled_4xb256_in1k.py',
    backbone=dict(drop_path_rate=0.1),
    head=dict(num_classes=num_classes),
    train_cfg=None,
)
vit_weights = dict(
    type='mmrazor.DistilledInitHook',
    checkpoint='https://download.openmmlab.com/mmclassification/v0/deit/'
    'deit-tiny-distilled_3rdparty_pt-4xb256_in1k_20211216-c429839a.pth',
    grid=(14, 14),
)

data_preprocessor = dict(type='mmpretrain.ClsDataPreprocessor', num_classes=num_classes)
mixes = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
load = dict(type='LoadWholeImage', on_error='skip')
# 'photo': a picture may be flipped, cropped and recoloured, and shows the same class.
photo_pipeline = [load, *_base_.train_pipeline[1:]]
# 'light': for letters, digits, signs, where a flip or a strong crop shows another class.
light_pipeline = [
    load,
    dict(type='Resize', scale=(224, 224), interpolation='bicubic', backend='pillow'),
    dict(type='RandomCrop', crop_size=224, padding=28, padding_mode='edge'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadWholeImage'), *_base_.test_pipeline[1:]]
folder = dict(_delete_=True, type='CustomDataset', data_root=data_root)
train_dataloader = dict(
    num_workers=4,
    dataset=dict(**folder, data_prefix='train', pipeline=photo_pipeline),
)
val_dataloader = dict(
    num_workers=4,
    dataset=dict(**folder, data_prefix='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.dist_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=2, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()

randomness = dict(seed=0)
default_hooks = dict(
    runtime_info=dict(type='mmrazor.DeferredRuntimeInfoHook'),
    logger=dict(interval=20),
    checkpoint=dict(type='mmrazor.AtomicCheckpointHook', max_keep_ckpts=1, save_best='auto'),
    data_check=dict(type='mmrazor.DataCheckHook'),
    exact_resume=dict(type='mmrazor.ExactResumeHook'),
    preemption=dict(type='mmrazor.PreemptionHook'),
    finite_loss=dict(type='mmrazor.FiniteLossHook'),
)
