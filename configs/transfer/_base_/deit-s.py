# What detectors and segmentors share of a distilled DeiT-S and its fine-tuning.
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

# Set it to what `tools/export_student.py … --to backbone` wrote, or to a checkpoint of a student.
custom_hooks = [dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth')]

deit_s = dict(arch='deit-small', patch_size=16, drop_path_rate=0.1)
no_decay = dict(decay_mult=0.0)
layer_decay = dict(
    type='OptimWrapper',
    constructor='mmrazor.BackboneLayerDecay',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.cls_token': no_decay, '.dist_token': no_decay, '.pos_embed': no_decay},
    ),
)
