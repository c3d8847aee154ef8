# CSKD with the soft loss on the patch tokens in place of the hard one.
_base_ = './cskd_linear.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(mode='soft'))))
