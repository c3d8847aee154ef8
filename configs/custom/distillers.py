# CSKD+, for few pictures, see docs/evidence.md. A student without a distillation token has the
# part of its patches. No CKFHook.
_base_ = '../_base_/distillers.py'

cskd_distiller = dict(_delete_=True, **_base_.cskd_plus_distiller)
patch_distiller = dict(
    distill_losses=dict(loss_cskd=_base_.cskd_plus_distiller.distill_losses.loss_cskd)
)
