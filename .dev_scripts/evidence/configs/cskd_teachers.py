# Beyond the paper: the mean of the responses of two teachers, trained alike by two seeds.
_base_ = './cskd_linear.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'beyond'])

model = dict(
    teacher=dict(
        backbone=dict(_delete_=True, type='SideBySide', parts=[_base_.cnn.backbone] * 2),
        head=dict(in_channels=64),
    )
)
