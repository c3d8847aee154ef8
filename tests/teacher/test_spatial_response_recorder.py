import pytest
import torch
from mmengine.model import BaseModel
from models import NUM_CLASSES, batch, build, teacher_config
from torch import nn

from mmcskd import CSKDLoss, SpatialResponseRecorder


def record(model, images, mode='tensor', samples=None, **kwargs):
    recorder = SpatialResponseRecorder(**kwargs)
    recorder.initialize(model)
    with torch.no_grad(), recorder:
        output = model(images, samples, mode=mode)
    return recorder.get_record_data(data_idx=0), recorder.get_record_data(data_idx=1), output


def respond_slowly(feature, tail):
    """The tail at one location at a time, as the method defines it."""
    n, _, height, width = feature.shape
    return torch.stack(
        [
            torch.stack([tail(feature[:, :, i, j]) for j in range(width)], dim=-1)
            for i in range(height)
        ],
        dim=-2,
    )


@pytest.mark.parametrize('size', [(32, 32), (24, 40)])
def test_linear_tail(size):
    model = build(teacher_config()).eval()
    images, _ = batch(3, *size)
    expected = model(images)
    spatial, whole, output = record(model, images)

    assert spatial.shape == (3, NUM_CLASSES, size[0] // 8, size[1] // 8)
    assert torch.equal(output, whole)
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(spatial.mean((2, 3)), whole)
    feature = model.backbone(images)[-1]
    torch.testing.assert_close(spatial, respond_slowly(feature, model.head.fc))
    assert spatial.std((2, 3)).min() > 0


TAILS = dict(
    hidden=dict(
        head=dict(
            type='StackedLinearClsHead',
            num_classes=NUM_CLASSES,
            in_channels=64,
            mid_channels=[20],
            dropout_rate=0.3,
            norm_cfg=dict(type='BN1d'),
            act_cfg=dict(type='HSwish'),
        )
    ),
    gem=dict(neck=dict(type='GeneralizedMeanPooling')),
    neck=dict(
        neck=[
            dict(type='GlobalAveragePooling'),
            dict(
                type='LinearNeck',
                in_channels=64,
                out_channels=64,
                norm_cfg=None,
                act_cfg=dict(type='ReLU'),
            ),
        ]
    ),
)


@pytest.mark.parametrize('tail', TAILS)
def test_tail_that_is_not_linear(tail):
    model = build(teacher_config(**TAILS[tail])).eval()
    images, _ = batch()
    expected = model(images)
    feature = model.backbone(images)[-1]
    spatial, whole, _ = record(model, images)
    torch.testing.assert_close(whole, expected)

    def run_tail(pooled):
        after = model.neck[1]((pooled,)) if tail == 'neck' else (pooled,)
        return model.head(after)

    torch.testing.assert_close(spatial, respond_slowly(feature, run_tail))
    # Here the mean of the responses is not the response to the mean.
    assert not torch.allclose(spatial.mean((2, 3)), whole, atol=1e-4)


def test_timm_backbone():
    config = teacher_config(
        backbone=dict(type='TIMMBackbone', model_name='regnety_002'),
        head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=368),
    )
    model = build(config).eval()
    images, _ = batch(2, 96, 64)
    spatial, whole, _ = record(model, images)
    assert spatial.shape == (2, NUM_CLASSES, 3, 2)
    torch.testing.assert_close(spatial.mean((2, 3)), whole)
    torch.testing.assert_close(whole, model(images))


@pytest.mark.parametrize(
    'name, pooling',
    [
        ('resnet18', 'model.global_pool'),
        ('regnety_002', 'model.head.global_pool'),
        ('efficientnet_b0', 'model.global_pool'),
    ],
)
def test_timm_classifier(name, pooling):
    model = build(dict(type='mmpretrain.TimmClassifier', model_name=name, num_classes=5)).eval()
    images, _ = batch(2, 64, 96)
    recorder = SpatialResponseRecorder()
    recorder.initialize(model)
    assert recorder.source == pooling
    with torch.no_grad(), recorder:
        model(images, mode='tensor')
    spatial, whole = recorder.get_record_data()
    assert spatial.shape == (2, 5, 2, 3)
    torch.testing.assert_close(whole, model(images))
    torch.testing.assert_close(spatial.mean((2, 3)), whole)


class TorchvisionTeacher(BaseModel):
    """Somebody's own model, with a pooling that goes by no known name."""

    def __init__(self):
        super().__init__()
        from torchvision.models import resnet18

        self.net = resnet18(num_classes=NUM_CLASSES)
        self.net.avgpool = nn.Sequential(nn.AvgPool2d(2))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.net(inputs)


def test_named_pooling():
    model = TorchvisionTeacher().eval()
    images, _ = batch(2, 64, 64)
    with pytest.raises(ValueError, match=r'teacher_recorders.*source'):
        SpatialResponseRecorder().initialize(model)
    spatial, whole, _ = record(model, images, source='net.avgpool')
    torch.testing.assert_close(whole, model(images))
    torch.testing.assert_close(spatial.mean((2, 3)), whole)


def test_stock_loss_sees_its_own_logits():
    """MMRazor's SingleTeacherDistill runs the teacher in mode 'loss'."""
    model = build(teacher_config()).eval()
    images, samples = batch()
    expected = model(images, samples, mode='loss')['loss']
    spatial, whole, output = record(model, images, mode='loss', samples=samples)
    torch.testing.assert_close(output['loss'], expected)
    torch.testing.assert_close(whole, model(images))


def test_nothing_is_recorded_outside():
    model = build(teacher_config()).eval()
    images, _ = batch()
    recorder = SpatialResponseRecorder()
    recorder.initialize(model)
    assert model(images).shape == (3, NUM_CLASSES)
    assert recorder.data_buffer == []
    for _ in range(2):
        with recorder:
            model(images)
        assert len(recorder.data_buffer) == 1


@pytest.mark.parametrize(
    'names, message',
    [
        (dict(source='nekc'), r'SpatialResponse\.source: "nekc" .*Nearest: "neck"'),
        (dict(logits='head.cf'), r'SpatialResponse\.logits: "head.cf" .*Nearest: .*"head.fc"'),
    ],
)
def test_name_not_in_the_model(names, message):
    with pytest.raises(ValueError, match=message):
        SpatialResponseRecorder(**names).initialize(build(teacher_config()))


@pytest.mark.parametrize(
    'names, message',
    [
        (dict(source='backbone.layer4'), r'SpatialResponse\.source: "backbone.layer4" maps'),
        (dict(logits='neck'), r'SpatialResponse\.logits: "neck" returned tuple'),
        (dict(logits='backbone'), r'recorded nothing: .*"neck" .*source\) and then "backbone"'),
    ],
)
def test_name_of_the_wrong_module(names, message):
    model = build(teacher_config()).eval()
    recorder = SpatialResponseRecorder(**names)
    recorder.initialize(model)
    with pytest.raises(ValueError, match=message), recorder:
        model(batch()[0])


def test_attention_is_no_pooling():
    model = build(
        teacher_config(
            backbone=dict(type='SEResNet', depth=50, base_channels=8, stem_channels=8),
            neck=None,
            head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=2048),
        )
    )
    with pytest.raises(ValueError, match='No global pooling module in the teacher'):
        SpatialResponseRecorder().initialize(model)


CONVNEXT = dict(type='ConvNeXt', arch=dict(depths=[1] * 4, channels=[8, 8, 16, 16]))


def convnext_config():
    head = dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=16)
    return teacher_config(backbone=CONVNEXT, neck=None, head=head)


@pytest.mark.parametrize(
    'feature, message',
    [
        (
            'backbone.stages.0',
            r'\.source: "backbone.norm3" takes \(3, 16, 1, 1\) of the map \(3, 8, ',
        ),
        ('backbone.stages.3.0.depthwise_conv', r'\.feature: .* is not the mean of the map'),
        ('head', r'\.feature: "head" did not run before "backbone.norm3"'),
        ('backbone.satges.3', r'\.feature: "backbone.satges.3" .*Nearest: "backbone.stages.3"'),
    ],
)
def test_wrong_map(feature, message):
    model = build(convnext_config()).eval()
    with pytest.raises(ValueError, match=message):
        record(model, batch(3, 64, 64)[0], source='backbone.norm3', feature=feature)


def test_map_without_what_takes_it():
    with pytest.raises(ValueError, match=r'feature: "stem" needs .*teacher_recorders.*\.source'):
        SpatialResponseRecorder(feature='stem')


def test_more_than_a_pooling():
    neck = dict(type='LinearNeck', in_channels=64, out_channels=64, gap_dim=2)
    model = build(teacher_config(neck=neck)).eval()
    with pytest.raises(ValueError, match=r'source: "neck" does more than pool'):
        record(model, batch()[0], source='neck')
    _, whole, output = record(model, batch()[0])  # finds the pooling within
    assert torch.equal(whole, output)


def test_reordered_map():
    """Between the map and the fully connected layer nothing may happen."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).eval()
    with pytest.raises(ValueError, match=r'feature: what "3" takes is not the map of "0"'):
        record_plain(net, feature='0', source='3')
    spatial, _ = record_plain(net, feature='1', source='3')
    assert spatial.shape == (2, 5, 4, 4)


def record_plain(net, **names):
    recorder = SpatialResponseRecorder(**names)
    recorder.initialize(net)
    with torch.no_grad(), recorder:
        net(torch.randn(2, 3, 6, 6))
    return recorder.get_record_data()


@pytest.mark.parametrize('part', ['norm', 'dropout'])
def test_tail_in_training_mode(part):
    """Batch statistics would mix pooled with local features, dropout would leave both to chance."""
    model = build(teacher_config(**TAILS['hidden'])).eval()
    block = model.head.layers[0]
    getattr(block, part).train()
    with pytest.raises(ValueError, match=r'"neck" and "head" .*depend on .* teacher\.eval\(\)'):
        record(model, batch()[0])


def test_one_location():
    """All that DeiT distillation needs; CSKDLoss refuses it."""
    model, images = build(teacher_config()).eval(), batch(3, 8, 8)[0]
    spatial, whole, _ = record(model, images)
    torch.testing.assert_close(spatial.squeeze(), whole)
    message = r"CSKDLoss: the teacher's grid is 1×1.*model\.teacher_view\.size"
    with pytest.raises(ValueError, match=message):
        CSKDLoss(fusion_weight=0.5)(spatial, spatial, whole)


@pytest.mark.parametrize(
    'n, message',
    [(1, r'uses a feature map still, of shape \(1, 256, '), (3, r'cannot take one row')],
)
def test_pooling_of_an_attention(n, message):
    """It pools to 1 × 1 as well; for a single image even all the shapes agree."""
    model = build(
        teacher_config(
            backbone=dict(type='SEResNet', depth=50, base_channels=8, stem_channels=8),
            head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=256),
        )
    ).eval()
    with pytest.raises(ValueError, match=message):
        record(model, batch(n, 64, 64)[0], source='backbone.layer1.0.se_layer.global_avgpool')


def test_logits_that_are_not_finite():
    model = build(teacher_config()).eval()
    model.head.fc.bias.data[0] = float('inf')
    with pytest.raises(ValueError, match=r'own logits, of "head", are not finite: .*teacher_ckpt'):
        record(model, batch()[0])


@pytest.mark.parametrize('error', [torch.cuda.OutOfMemoryError, KeyboardInterrupt])
def test_other_errors_pass(error):
    model = build(teacher_config()).eval()

    def fail(*args):
        raise error()

    model.head.fc.register_forward_pre_hook(fail)
    with pytest.raises(error):
        record(model, batch()[0])


@pytest.mark.parametrize(
    'config, message',
    [
        (
            dict(head=dict(type='MultiLabelLinearClsHead', num_classes=7, in_channels=64)),
            'label by',
        ),
        (
            dict(
                head=dict(
                    type='CSRAClsHead', num_classes=7, in_channels=64, num_heads=1, lam=0.1
                )
            ),
            'label by',
        ),
        (
            dict(
                head=dict(
                    type='MultiTaskHead',
                    in_channels=64,
                    task_heads=dict(a=dict(type='LinearClsHead', num_classes=7)),
                )
            ),
            'several tasks',
        ),
    ],
)  # fmt: skip
def test_no_class_logits(config, message):
    with pytest.raises(
        ValueError, match=f'cannot be the teacher, its head .*{message}.*model.teac'
    ):
        SpatialResponseRecorder().initialize(build(teacher_config(**config)))


def test_tokens_have_no_grid():
    backbone = dict(type='EfficientFormer', arch='l1')
    head = dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=448)
    neck = dict(type='GlobalAveragePooling', dim=1)
    model = build(teacher_config(backbone=backbone, neck=neck, head=head)).eval()
    with pytest.raises(ValueError, match=r'"neck" maps \(1, 448, 49\) .*tokens have no grid'):
        record(model, torch.randn(1, 3, 224, 224))
