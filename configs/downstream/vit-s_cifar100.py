# The same student without its distillation token, which is dropped with its position embedding.
_base_ = './deit-s_cifar100.py'

model = dict(
    backbone=dict(type='VisionTransformer', out_type='cls_token'),
    head=dict(
        _delete_=True,
        type='VisionTransformerClsHead',
        num_classes=100,
        in_channels=384,
        loss=_base_.model.head.loss,
    ),
)
