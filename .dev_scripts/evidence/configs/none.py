# No distillation: labels alone, on the class token. The distillation token is there, and untaught.
_base_ = './_base_/student.py'

model = dict(architecture=dict(vote=['cls'], head=dict(loss=dict(loss_weight=1.0))))
custom_hooks = [dict(type='mmrazor.StopDistillHook', stop_epoch=0)]
