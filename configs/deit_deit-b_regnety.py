# DeiT distillation alone, the twin of cskd_deit-b_regnety.py. Published by the authors: 83.4 % top-1.
_base_ = './cskd_deit-b_regnety.py'

model = dict(
    distiller=dict(
        distill_losses=dict(_delete_=True, loss_deit=dict(type='DeiTLoss')),
        loss_forward_mappings=dict(
            _delete_=True, loss_deit=_base_.model.distiller.loss_forward_mappings.loss_deit
        ),
        connectors=dict(_delete_=True, dist=dict(type='DistTokenConnector')),
    )
)
custom_hooks = _base_.custom_hooks[:-1]  # no CKF
