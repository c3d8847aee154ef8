# What the demo's runs share: real digits among clutter, runtime, optimizer and the CNN, for 2
# processes.
_base_ = 'mmpretrain::_base_/default_runtime.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor', num_classes=10, mean=[32.0] * 3, std=[64.0] * 3
)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    dataset=dict(
        type='ClutteredDigits',
        split='train',
        length=8000,
        pipeline=[
            dict(type='RandomCrop', crop_size=40, padding=5),
            dict(type='PackInputs'),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=200,
    num_workers=0,
    dataset=dict(
        type='ClutteredDigits',
        split='test',
        length=2000,
        pipeline=[dict(type='PackInputs')],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
train_cfg = dict(by_epoch=True, max_epochs=14, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=1, convert_to_iter_based=True),
]
val_cfg = dict()
test_cfg = dict()

randomness = dict(seed=0)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(type='mmrazor.AtomicCheckpointHook', max_keep_ckpts=1, save_best='auto'),
    data_check=dict(type='mmrazor.DataCheckHook'),
    exact_resume=dict(type='mmrazor.ExactResumeHook'),
    preemption=dict(type='mmrazor.PreemptionHook'),
    finite_loss=dict(type='mmrazor.FiniteLossHook'),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)

# The teacher: the first half of a narrow ResNet-18.
resnet18 = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
