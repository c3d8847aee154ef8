# A third of the iterations of fashion.py.
_base_ = './fashion.py'

train_cfg = dict(max_epochs=8)
