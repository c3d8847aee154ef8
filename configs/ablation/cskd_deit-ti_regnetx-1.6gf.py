# The teacher is RegNetX-1.6GF, 76.8 % top-1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::regnet/regnetx-1.6gf_8xb128_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/regnet/'
    'regnetx-1.6gf_8xb128_in1k_20211213-d1b89758.pth',
)
