# The data flow of dense tasks: class logits at each location of both sides, and ignored pixels.
recorders = dict(
    teacher_recorders=dict(response=dict(type='DenseResponse')),
    student_recorders=dict(response=dict(type='DenseResponse'), ignored=dict(type='IgnoredRegion')),
)
to_dense_cskd = dict(
    student_response=dict(recorder='response', from_student=True),
    teacher_response=dict(recorder='response', from_student=False),
    ignored=dict(recorder='ignored', from_student=True),
)

# At each location of the common levels.
detection_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    distill_losses=dict(loss_cskd=dict(type='DenseCSKDLoss', mode='soft')),
    loss_forward_mappings=dict(loss_cskd=to_dense_cskd),
)
# An RPN starts undecided everywhere, where other heads start with background: its sum over all
# anchors is then twenty times its own losses and would destroy the pretrained backbone.
rpn_distiller = dict(
    detection_distiller,
    distill_losses=dict(loss_cskd=dict(type='DenseCSKDLoss', mode='soft', loss_weight=0.05)),
)
# On the grid of the student's patch tokens. A patch has pixels of several classes; a mean of logits
# would keep only the class with the largest ones.
segmentation_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    distill_losses=dict(
        loss_cskd=dict(type='DenseCSKDLoss', mode='soft', grid='patches', pooling='probabilities')
    ),
    loss_forward_mappings=dict(loss_cskd=to_dense_cskd),
)

# The fusion weight of the run. A level's mean is "background": it stays a minor part of the target.
detection_fusion = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.9))
# An image's mean is the response of no pixel; in the demo it cost accuracy: docs/transfer.md.
segmentation_fusion = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=1.0))
