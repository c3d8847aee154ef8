# Beyond the paper: the fusion weight follows the student's agreement with the teacher, not time.
_base_ = './_base_/student.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'beyond'])

custom_hooks = [dict(type='mmrazor.AgreementCKFHook', num_classes=10)]
