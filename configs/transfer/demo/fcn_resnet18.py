# The demo's CNN segmentor, trained from scratch.
_base_ = './seg_digits.py'

model = _base_.fcn
optim_wrapper = dict(optimizer=dict(lr=4e-3))
