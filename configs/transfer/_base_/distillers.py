# How the data flow in dense tasks: class logits at each location of both sides, and what to ignore.
recorders = dict(
    teacher_recorders=dict(response=dict(type='DenseResponse')),
    student_recorders=dict(response=dict(type='DenseResponse'), ignored=dict(type='IgnoredRegion')),
)
to_dense_cskd = dict(
    student_response=dict(recorder='response', from_student=True),
    teacher_response=dict(recorder='response', from_student=False),
    ignored=dict(recorder='ignored', from_student=True),
)

# At each location of the levels both have.
detection_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    distill_losses=dict(loss_cskd=dict(type='DenseCSKDLoss', mode='soft')),
    loss_forward_mappings=dict(loss_cskd=to_dense_cskd),
)
# An RPN begins undecided everywhere, not sure of background as other heads: the sum over all
# anchors is then twenty times its own losses, and would undo the backbone it starts from.
rpn_distiller = dict(
    detection_distiller,
    distill_losses=dict(loss_cskd=dict(type='DenseCSKDLoss', mode='soft', loss_weight=0.05)),
)
# On the grid of the student's patch tokens. A patch holds pixels of several classes, of which the
# mean of logits would leave the surest alone.
segmentation_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    distill_losses=dict(
        loss_cskd=dict(type='DenseCSKDLoss', mode='soft', grid='patches', pooling='probabilities')
    ),
    loss_forward_mappings=dict(loss_cskd=to_dense_cskd),
)

# λ through the run. A level's mean says "background" everywhere: it stays a minor part of the
# target.
detection_fusion = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.9))
# An image's mean answers for no pixel; fused in, it did harm on the demo: see docs/transfer.md.
segmentation_fusion = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=1.0))
