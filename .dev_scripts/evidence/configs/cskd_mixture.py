# Beyond the paper: the classes of all fusion weights at once, mixed by their shares.
_base_ = './_base_/student.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'beyond'])

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(type='MixtureCSKDLoss'))))
