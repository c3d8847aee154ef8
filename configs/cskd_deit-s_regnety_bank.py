# The same from a bank of the teacher's responses: no teacher in memory, the same losses. Make it
# with tools/bank_responses.py and this config.
_base_ = './cskd_deit-s_regnety.py'

model = dict(bank=dict(path='work_dirs/bank_deit-s_regnety'))
custom_hooks = [*_base_.custom_hooks, dict(type='mmrazor.ResponseBankHook')]
# The seed makes the views repeatable.
randomness = dict(seed=0)
