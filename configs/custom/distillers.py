# For few pictures: CSKD+ where the student has a distillation token, see docs/evidence.md. For one
# without, the paper's loss on the patches in its soft form.
_base_ = '../_base_/distillers.py'

patch_distiller = dict(distill_losses=dict(loss_cskd=dict(mode='soft')))
