# The demo's CNN detector of one stage, trained from scratch.
_base_ = './retinanet_digits.py'

model = _base_.teacher
