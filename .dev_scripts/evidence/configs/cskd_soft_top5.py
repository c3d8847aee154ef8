# CSKD (soft) from a bank of the teacher's responses that keeps five classes of each.
_base_ = './cskd_soft.py'

model = dict(bank=dict(path='work_dirs/evidence/bank', top_k=5))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmrazor.ExactResumeHook'),
    dict(type='mmrazor.ResponseBankHook'),
]
