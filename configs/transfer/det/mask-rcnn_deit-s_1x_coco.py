# Mask R-CNN on a distilled DeiT-S: MMDetection's 1x schedule with ViTDet's backbone and pyramid.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmcskd'], allow_failed_imports=False)

# Set it to what `tools/export_student.py … --to backbone` wrote, or to a checkpoint of a student.
custom_hooks = [dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth')]
model = dict(
    _scope_='mmdet',
    backbone=dict(
        _delete_=True,
        # Attention of 14 × 14 patches, as at 224 pixels; over the whole image in four layers.
        # MMPretrain's own `DistilledVisionTransformer` is the same with all of it global.
        type='mmrazor.WindowedVisionTransformer',
        arch='deit-small',
        img_size=1024,
        patch_size=16,
        drop_path_rate=0.1,
        window_size=14,
        global_layers=(2, 5, 8, 11),
    ),
    neck=dict(
        _delete_=True,
        type='mmrazor.SimpleFeaturePyramid',
        in_channels=384,
        out_channels=256,
        num_outs=5,
    ),
)
# Of ViTDet, for the batch of 16 of the 1x schedule.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mmrazor.BackboneLayerDecay',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.dist_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=1.0),
)
# MMDetection's batches hold images of different sizes.
train_dataloader = dict(collate_fn=dict(type='pseudo_collate'))
val_dataloader = dict(collate_fn=dict(type='pseudo_collate'))
test_dataloader = val_dataloader
