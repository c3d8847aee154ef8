# CSKD by the cosine: the fusion weight is cos(πp / 2).
_base_ = './_base_/student.py'

custom_hooks = [dict(type='mmrazor.CKFHook', schedule='cos')]
