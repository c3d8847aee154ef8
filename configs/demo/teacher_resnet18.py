# The demo's teacher, trained from scratch.
_base_ = './digits.py'

model = _base_.resnet18
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_epochs=6)
