# How ViTDet fine-tunes a ViT in a detector, for the batch of 16 of the 1x schedule.
_base_ = './deit-s.py'

# Attention within 14 × 14 patches, as at 224 pixels; over the whole image in four layers. With
# MMPretrain's `DistilledVisionTransformer` it is global in all layers.
backbone = dict(
    type='mmrazor.WindowedVisionTransformer',
    img_size=1024,
    window_size=14,
    global_layers=(2, 5, 8, 11),
    **_base_.deit_s,
)
neck = dict(type='mmrazor.SimpleFeaturePyramid', in_channels=384, out_channels=256, num_outs=5)
layer_decay = dict(
    optimizer=dict(weight_decay=0.1),
    paramwise_cfg=dict(layer_decay_rate=0.7),
    clip_grad=dict(max_norm=1.0),
)
