# DeiT with the teacher's distribution in place of its class.
_base_ = './deit_hard.py'

model = dict(distiller=dict(distill_losses=dict(loss_deit=dict(mode='soft'))))
