# No CKF: every patch token learns from the spatial response alone, throughout.
_base_ = './_base_/student.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(fusion_weight=1.0))))
