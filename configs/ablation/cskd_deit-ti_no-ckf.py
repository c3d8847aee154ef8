# No CKF: the target is the spatial response alone in the whole run.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(fusion_weight=1.0))))
custom_hooks = _base_.custom_hooks[:-1]
