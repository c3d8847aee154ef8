# DeiT-S and the recipe of the published results: ImageNet-1k at 224, 300 epochs, total batch 512.
_base_ = 'mmpretrain::deit/deit-small-distilled_4xb256_in1k.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

# The base loss, on the class token, is weighed by 1 - alpha.
model = dict(
    type='mmpretrain.CSKDClassifier',
    backbone=dict(drop_rate=0.0, drop_path_rate=0.0),
    head=dict(loss=dict(loss_weight=0.5)),
    train_cfg=None,
)
# Mixup and CutMix, one of the two at random, on the batch that student and teacher see.
data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
# Augmentation and bicubic test resize are MMPretrain's own for DeiT. A file that is cut short is
# left out and counted; the stock transform would train on its grey rest.
train_pipeline = [dict(type='LoadWholeImage', on_error='skip'), *_base_.train_pipeline[1:]]
train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=train_pipeline),
    sampler=dict(_delete_=True, type='RepeatAugSampler', num_repeats=3),
)

optim_wrapper = dict(
    type='mmrazor.DeviceAmpOptimWrapper',
    # Where a GPU has none (before Ampere): 'float16', with a loss scale.
    dtype='bfloat16',
    optimizer=dict(lr=5e-4, weight_decay=0.05, eps=1e-8),
    paramwise_cfg=dict(custom_keys={'.dist_token': dict(decay_mult=0.0)}),
    clip_grad=None,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6 / 5e-4, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=5),
]
train_cfg = dict(max_epochs=300, val_interval=1)
auto_scale_lr = dict(base_batch_size=512)

# Decay 0.99996, of the student alone. A validation has accuracy/top1 of the averaged student and
# accuracy/top1_origin of the raw one; the published numbers are the latter, the best over epochs.
custom_hooks = [
    dict(type='EMAHook', momentum=4e-5, evaluate_on_origin=True, priority='ABOVE_NORMAL')
]
# Losses read off the device when logged, checkpoints that are whole, a run that resumes exactly,
# ends on SIGTERM and stops at NaN.
default_hooks = dict(
    runtime_info=dict(type='mmrazor.DeferredRuntimeInfoHook'),
    # The best by the averaged student, which a checkpoint gives by default.
    checkpoint=dict(
        type='mmrazor.AtomicCheckpointHook', max_keep_ckpts=3, save_best='accuracy/top1'
    ),
    data_check=dict(type='mmrazor.DataCheckHook'),
    exact_resume=dict(type='mmrazor.ExactResumeHook'),
    preemption=dict(type='mmrazor.PreemptionHook'),
    finite_loss=dict(type='mmrazor.FiniteLossHook'),
)
# Seconds that a process waits for a peer that hangs.
env_cfg = dict(dist_cfg=dict(timeout=1800))
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)
