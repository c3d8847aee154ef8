# All ten classes.
_base_ = './cskd_soft_top5.py'

model = dict(bank=dict(top_k=10))
