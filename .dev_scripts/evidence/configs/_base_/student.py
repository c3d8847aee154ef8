# What all arms of the comparison share: the data of the plain setting, a student short of data, the
# CNN that teaches it and the schedule. Runs are short and start anew when they are cut. To train by
# another tool than .dev_scripts/evidence/run.py, put that folder on PYTHONPATH.
_base_ = ['mmcskd::demo/digits.py', 'mmcskd::_base_/distillers.py']
custom_imports = dict(imports=['mmcskd', 'packed_digits'], allow_failed_imports=False)

# As in the recipe the teacher answers for views that the label describes badly: half of the batches
# are cut and mixed.
data_preprocessor = dict(
    batch_augments=dict(augments=[dict(type='CutMix', alpha=1.0)], probs=[0.5])
)
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        type='PackedDigits',
        split='fit',
        length=8000,
        canvas=16,
        digit=8,
        fragments=2,
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
        type='CSKDClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=dict(embed_dims=64, num_layers=3, num_heads=2, feedforward_channels=128),
            img_size=16,
            patch_size=4,
        ),
        head=dict(
            type='DeiTClsHead',
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
# One group of parameters, stepped together: a group for each takes a fifth of an iteration.
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, foreach=True),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_epochs=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=2, convert_to_iter_based=True),
]

# The arms are measured head by head, by .dev_scripts/evidence/head_accuracy.py.
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
