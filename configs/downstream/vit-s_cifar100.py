# The same student without its distillation token, which is dropped with its position embedding.
_base_ = './deit-s_cifar100.py'

student = _base_.model
model = dict(
    _delete_=True,
    type='ImageClassifier',
    backbone={**student.backbone, 'type': 'VisionTransformer'},
    head={**student.head, 'type': 'VisionTransformerClsHead'},
    init_cfg=student.init_cfg,
)
