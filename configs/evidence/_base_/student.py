# What all arms of the comparison share: the data of the plain setting, a student short of data, the
# CNN that teaches it and the schedule. Runs are short and start anew when they are cut.
_base_ = ['../../demo/digits.py', '../../_base_/distillers.py']

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        split='fit',
        length=2000,
        pipeline=[dict(type='PackInputs')],
    ),
)
model = dict(
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(embed_dims=64, num_layers=3, num_heads=4, feedforward_channels=192),
            img_size=40,
            patch_size=8,
            out_type='raw',
        ),
        head=dict(
            type='CSKDDeiTHead',
            num_classes=10,
            in_channels=64,
            loss=dict(
                type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', loss_weight=0.5
            ),
        ),
    ),
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/evidence/plain/teacher.pth',
    distiller=_base_.cskd_distiller,
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=40)

# The arms are measured head by head, by tools/evidence/head_accuracy.py.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None
default_hooks = dict(
    _delete_=True,
    logger=dict(type='LoggerHook', interval=1000),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=None,
    data_check=dict(type='mmrazor.DataCheckHook'),
    finite_loss=dict(type='mmrazor.FiniteLossHook'),
)
vis_backends = []
visualizer = dict(vis_backends=vis_backends)
log_level = 'WARNING'
