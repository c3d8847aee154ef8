# UPerNet on a distilled DeiT-S: MMSegmentation's own of DeiT-S with another backbone and optimizer.
_base_ = 'mmseg::vit/vit_deit-s16_mln_upernet_8xb2-160k_ade20k-512x512.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

# Set it to what `tools/export_student.py … --to backbone` wrote, or to a checkpoint of a student.
custom_hooks = [dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth')]
model = dict(
    _scope_='mmseg',
    pretrained=None,
    backbone=dict(
        _delete_=True,
        # 1,024 patches: attention is global.
        type='mmpretrain.DistilledVisionTransformer',
        arch='deit-small',
        img_size=512,
        patch_size=16,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        drop_path_rate=0.1,
    ),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mmrazor.BackboneLayerDecay',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.dist_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        },
    ),
)
train_dataloader = dict(collate_fn=dict(type='pseudo_collate'))
val_dataloader = dict(collate_fn=dict(type='pseudo_collate'))
test_dataloader = val_dataloader
