# The CNN that teaches, on more canvases of the same digits than its students have.
_base_ = './_base_/student.py'

model = dict(_delete_=True, **_base_.cnn)
train_dataloader = dict(batch_size=64, dataset=dict(length=8000))
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05, foreach=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
train_cfg = dict(max_epochs=4)
