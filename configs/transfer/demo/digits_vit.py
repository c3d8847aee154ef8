# What the demo's detectors and segmentors share: schedule, optimizer, the distilled student's ViT.
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

mean, std = [32.0] * 3, [64.0] * 3
loader = dict(num_workers=0, persistent_workers=False)
train_loader = dict(sampler=dict(type='InfiniteSampler', shuffle=True), **loader)
val_loader = dict(batch_size=50, sampler=dict(type='DefaultSampler', shuffle=False), **loader)

optim_wrapper = dict(
    type='OptimWrapper',
    # One group of parameters: a group for each parameter takes a fifth of an iteration.
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, foreach=True),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=1000),
]
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
# For `default_hooks`: an interrupted run resumes exactly.
resumable = dict(
    checkpoint=dict(
        type='mmrazor.AtomicCheckpointHook', by_epoch=False, interval=250, max_keep_ckpts=1
    ),
    exact_resume=dict(type='mmrazor.ExactResumeHook'),
)

arch = dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384)
vit = dict(arch=arch, img_size=48, patch_size=8)
# The teachers' backbone: a narrow ResNet-18.
resnet18 = dict(depth=18, stem_channels=32, base_channels=32, norm_cfg=dict(type='BN'))
