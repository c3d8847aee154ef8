# Those of the paper with the soft loss, the better one for few pictures: see docs/evidence.md.
_base_ = '../_base_/distillers.py'

cskd_distiller = dict(distill_losses=dict(loss_cskd=dict(mode='soft')))
patch_distiller = cskd_distiller
