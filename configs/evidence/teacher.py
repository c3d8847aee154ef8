# The CNN that teaches, on the same canvases as its students.
_base_ = './_base_/student.py'

model = dict(_delete_=True, **_base_.resnet18)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_epochs=12)
