# DeiT-S on CIFAR-100, enlarged to 224 and normalised as ImageNet. Downloaded on first use.
_base_ = '../_base_/finetune_deit-s.py'

model = dict(head=dict(num_classes=100))
# The images come as RGB arrays: nothing to load, no channels to flip.
data_preprocessor = dict(num_classes=100, to_rgb=False)
crop, flip, augment, pack = _base_.train_dataloader.dataset.pipeline[1:]
augment = {**augment, 'hparams': {**augment['hparams'], 'pad_val': [124, 116, 104]}}
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CIFAR100',
        data_root='data/cifar100',
        split='train',
        download=True,
        pipeline=[crop, flip, augment, pack],
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CIFAR100',
        data_root='data/cifar100',
        split='test',
        download=True,
        pipeline=_base_.val_dataloader.dataset.pipeline[1:],
    )
)
test_dataloader = val_dataloader
