# The teacher for your own folders: RegNetY-4GF, from timm's ImageNet weights, by labels alone.
_base_ = './data.py'

model = _base_.cnn
train_cfg = dict(max_epochs=15)
