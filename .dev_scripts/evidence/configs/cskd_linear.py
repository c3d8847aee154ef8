# CSKD: the fusion weight is 1 - p.
_base_ = './_base_/student.py'

custom_hooks = [dict(type='mmrazor.CKFHook', schedule='linear')]
