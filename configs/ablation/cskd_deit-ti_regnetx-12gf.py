# The teacher is RegNetX-12GF, 79.7 % top-1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    teacher=dict(_delete_=True, cfg_path='mmpretrain::regnet/regnetx-12gf_8xb64_in1k.py'),
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/regnet/'
    'regnetx-12gf_8xb64_in1k_20211213-5df8c2f8.pth',
)
