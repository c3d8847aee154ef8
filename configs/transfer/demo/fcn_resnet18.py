# The demo's CNN segmentor, from the CNN that taught the classifier.
_base_ = './seg_digits.py'

model = _base_.teacher
