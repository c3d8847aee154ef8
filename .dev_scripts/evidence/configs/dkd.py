# Decoupled knowledge distillation by MMRazor's stock loss, on the class token.
_base_ = './kl.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'rivals'])

model = dict(
    distiller=dict(
        student_recorders=dict(labels=dict(type='ModuleInputs', source='head.loss_module')),
        distill_losses=dict(
            loss_kd=dict(_delete_=True, type='MixedDKDLoss', tau=1.0, beta=1.0, loss_weight=1.0)
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(gt_labels=dict(recorder='labels', from_student=True, data_idx=1))
        ),
    ),
)
