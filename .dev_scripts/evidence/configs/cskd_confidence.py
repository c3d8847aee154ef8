# Beyond the paper: locations count by the teacher's confidence in them.
_base_ = './cskd_linear.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'beyond'])

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(type='ConfidenceCSKDLoss'))))
