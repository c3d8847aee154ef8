# The DeiT term soft in place of hard, temperature 1.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(distiller=dict(distill_losses=dict(loss_deit=dict(mode='soft'))))
