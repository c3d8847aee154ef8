import pytest
import torch
from mmengine.model import BaseModel
from models import NUM_CLASSES, batch, build, teacher_config
from torch import nn

from mmcskd import SpatialResponseRecorder


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
