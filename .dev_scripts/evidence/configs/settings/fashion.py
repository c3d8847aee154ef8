# Fashion-MNIST: 6,000 photographs to learn from, flipped, shifted, and half of the batches cut and
# mixed; teacher and student have a grid of 7 × 7, as the recipe on ImageNet has after pooling.
custom_imports = dict(imports=['mmcskd', 'fashion_subset', 'rivals', 'patch_map_connector'])

data_preprocessor = dict(mean=[73.0], std=[90.0])
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='FashionSubset',
        data_root='data/fashion_mnist',
        split='fit',
        length=6000,
        pipeline=[
            dict(type='RandomCrop', crop_size=28, padding=2),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    ),
)
# The teacher of the canvases, twice as wide.
teacher = dict(
    backbone=dict(in_channels=1, stem_channels=32, base_channels=32), head=dict(in_channels=64)
)
model = dict(
    architecture=dict(backbone=dict(in_channels=1, img_size=28)),
    teacher=teacher,
)
train_cfg = dict(max_epochs=24)
