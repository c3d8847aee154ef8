# The teacher is RegNetX-4.0GF, 78.6 % top-1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::regnet/regnetx-4.0gf_8xb64_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/regnet/'
    'regnetx-4.0gf_8xb64_in1k_20211213-efed675c.pth',
)
