# No CKF: every patch token learns from the spatial response alone, throughout.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(fusion_weight=1.0))))
custom_hooks = _base_.custom_hooks[:-1]
