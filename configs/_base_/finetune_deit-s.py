# Fine-tuning a distilled DeiT-S at 224 by labels alone, total batch 768. By DeiT's authors for
# CIFAR-10 and Cars (github.com/facebookresearch/deit, thread 45): SGD, learning rate 0.01, weight
# decay 1e-4, 1000 epochs, no random erasing, no stochastic depth, all else as on ImageNet.
_base_ = './deit-s_300e.py'

# Class and distillation token answer together, in training and at test time.
model = dict(finetune=True, vote=['cls', 'dist'], head=dict(loss=dict(loss_weight=1.0)))
custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/cskd_deit-s_regnety/epoch_300.pth',
    )
]
train_dataloader = dict(
    batch_size=96,
    dataset=dict(
        pipeline=[
            step
            for step in _base_.train_dataloader.dataset.pipeline
            if step['type'] != 'RandomErasing'
        ]
    ),
)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
)
param_scheduler = [{**_base_.param_scheduler[0], 'start_factor': 1e-4}, _base_.param_scheduler[1]]
train_cfg = dict(max_epochs=1000, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
auto_scale_lr = dict(base_batch_size=768)
