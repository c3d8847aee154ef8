# The demo's teacher: a narrow ResNet-18, trained from scratch.
_base_ = './digits.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16, strides=(2, 2, 2, 1)
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes=10, in_channels=128, loss=dict(type='CrossEntropyLoss')
    ),
)
train_cfg = dict(max_epochs=15)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
