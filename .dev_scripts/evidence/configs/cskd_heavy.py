# CSKD whose spatial response weighs as much as in the soft loss, a sum over 16 locations.
_base_ = './cskd_linear.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(loss_weight=16.0))))
