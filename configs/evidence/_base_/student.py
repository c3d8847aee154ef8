# What all arms of the comparison share: the data of the plain setting, a student short of data, the
# CNN that teaches it and the schedule. Runs are short and start anew when they are cut. To train by
# another tool than tools/evidence/run.py, put that folder on PYTHONPATH.
_base_ = ['../../demo/digits.py', '../../_base_/distillers.py']
custom_imports = dict(imports=['mmcskd', 'packed_digits'], allow_failed_imports=False)

train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        type='PackedDigits',
        split='fit',
        length=2000,
        canvas=12,
        digit=8,
        fragments=1,
        fragment=4,
        pipeline=[dict(type='PackInputs')],
    ),
)
# The demo's CNN for small canvases: a narrow ResNet-18 for CIFAR, half of it, of stride 4.
cnn = dict(
    _scope_='mmpretrain',
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=16,
        base_channels=16,
        num_stages=2,
        strides=(2, 2),
        dilations=(1, 1),
        out_indices=(1,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
)
model = dict(
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
            img_size=12,
            patch_size=4,
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
    teacher=cnn,
    teacher_ckpt='work_dirs/evidence/plain/teacher.pth',
    distiller=_base_.cskd_distiller,
)
# Runs are short, and position embeddings start near zero: they learn ten times as fast as the rest.
optim_wrapper = dict(
    optimizer=dict(lr=8e-4, foreach=True),
    paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(lr_mult=10.0, decay_mult=0.0))),
)
train_cfg = dict(max_epochs=16)

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
