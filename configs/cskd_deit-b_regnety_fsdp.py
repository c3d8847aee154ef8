# The student in shards over the processes, for large students: FSDP by MMEngine's FlexibleRunner.
# Without an average of the weights: each process would see its shard alone.
_base_ = './cskd_deit-b_regnety.py'

runner_type = 'FlexibleRunner'
strategy = dict(type='StudentFSDPStrategy', wrap=['TransformerEncoderLayer'])
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'EMAHook']
