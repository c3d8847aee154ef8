# CSKD by the square: the fusion weight is (1 - p)².
_base_ = './_base_/student.py'

custom_hooks = [dict(type='mmrazor.CKFHook', schedule='x2')]
