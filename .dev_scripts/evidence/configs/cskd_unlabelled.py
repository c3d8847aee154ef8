# The teacher's distributions everywhere, and nothing besides: labels have no weight.
_base_ = './cskd_everywhere.py'

model = dict(architecture=dict(head=dict(loss=dict(loss_weight=0.0))))
