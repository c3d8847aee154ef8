# The student of student.py without a teacher: the same model, first weights, data and schedule.
_base_ = './data.py'

model = {**_base_.vit, 'finetune': True, 'vote': ['cls', 'dist']}
data_preprocessor = dict(batch_augments=_base_.mixes)
custom_hooks = [_base_.vit_weights]
