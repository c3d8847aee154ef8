# DeiT: labels on the class token, the teacher's class on the distillation token.
_base_ = './_base_/student.py'

model = dict(
    architecture=dict(vote=['cls', 'dist']),
    distiller=dict(_delete_=True, **_base_.deit_distiller),
)
