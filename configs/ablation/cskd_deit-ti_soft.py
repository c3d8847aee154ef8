# CSKD with the soft loss in place of the hard one, temperature 1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(distiller=dict(distill_losses=dict(loss_cskd=dict(mode='soft'))))
