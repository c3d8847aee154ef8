# No spatial response: every patch token learns from the global response, throughout.
_base_ = './_base_/student.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(fusion_weight=0.0))))
