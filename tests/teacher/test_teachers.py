"""Every family of CNNs as the teacher, by a stock config of a small member."""

import copy

import pytest
import torch
from mmengine.hub import get_config
from mmengine.runner import CheckpointLoader
from mmrazor.registry import MODELS
from models import (
    ARCH,
    NUM_CLASSES,
    algorithm_config,
    batch,
    build,
    student_config,
    teacher_config,
)
from packaging.version import Version
from stock_teachers import NECK, NORM
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmcskd import SpatialResponseRecorder
from mmcskd.student.stock_model import named_model

NOT_LINEAR = ('mobilenet-v3', 'vig-')
STAGES = dict(channels=[8, 16, 24, 32])
# Those without a small stock config, or without any.
SMALL = dict(
    replknet=dict(
        type='RepLKNet',
        arch=dict(
            **STAGES,
            layers=[1] * 4,
            large_kernel_sizes=[7, 7, 5, 3],
            small_kernel=3,
            dw_ratio=1,
        ),
    ),
    repmlp=dict(
        type='RepMLPNet',
        arch=dict(**STAGES, depths=[1] * 4, sharesets_nums=[1, 4, 8, 16]),
        img_size=64,
        reparam_conv_kernels=(1,),
    ),
    convnext_dense=dict(
        type='ConvNeXt', arch=dict(**STAGES, depths=[1] * 4), gap_before_final_norm=False
    ),
)


# Of each kind of block and head; the other families are more of the same.
QUICK = ('resnet18_8xb16', 'efficientnetv2', 'mobilenet-v3', 'poolformer', 'shufflenet-v2', 'atto')


def quick_or_slow(names):
    for name in names:
        quick = any(part in name for part in QUICK)
        yield name if quick else pytest.param(name, marks=pytest.mark.slow)


def stock(name, size, channels=3):
    """The model of a stock config and images for it, without the weights that it names."""
    config = get_config(f'mmpretrain::{name}.py').model
    images = torch.randn(2, channels, size, size)
    return settle(MODELS.build(dict(_scope_='mmpretrain', **config)), images), images


def settle(model, images):
    """A random net in evaluation mode, with batch statistics that keep its numbers in range."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
            module.train()
    with torch.no_grad():
        model(images)
    model.eval()
    return model


def record(model, images, call=None, **names):
    recorder = SpatialResponseRecorder(**names)
    recorder.initialize(model)
    with torch.no_grad(), recorder:
        output = (call or model)(images)
    ((spatial, whole),) = recorder.data_buffer
    assert torch.equal(output, whole)
    return spatial, whole


@torch.no_grad()
def check(model, images, feature, tail, linear, everywhere=True):
    """The records against the model's own logits and against one location after the other."""
    own = model(images)
    spatial, whole = record(model, images)
    scale = own.abs().max().item()
    near = dict(rtol=1e-5, atol=1e-5 * scale)
    torch.testing.assert_close(whole, own, **near)

    n, _, height, width = feature.shape
    assert spatial.shape == (n, own.shape[1], height, width)
    assert height * width > 1
    places = [(i, j) for i in range(height) for j in range(width)]
    coarse = 1e-5 * spatial.abs().max().item()
    for i, j in places if everywhere else places[:: len(places) // 3]:
        alone = tail(feature[:, :, i : i + 1, j : j + 1], i, j)
        torch.testing.assert_close(spatial[:, :, i, j], alone, rtol=1e-4, atol=coarse)
    # Neither the same everywhere, nor the mean of it where the tail bends.
    assert spatial.std((2, 3)).mean() > 1e-3 * scale
    assert torch.allclose(spatial.mean((2, 3)), own, **near) == linear


def pooled_map(model, images):
    """What reaches the pooling neck: HRNet fuses its scales before."""
    feature = model.backbone(images)
    return (model.neck[0](feature) if isinstance(model.neck, nn.Sequential) else feature)[-1]


@pytest.mark.parametrize('name', quick_or_slow(NECK))
@torch.no_grad()
def test_pooled_by_the_neck(name):
    model, images = stock(name, NECK[name])
    linear = not any(part in name for part in NOT_LINEAR)
    feature = pooled_map(model, images)
    check(model, images, feature, lambda x, i, j: model.head((x.flatten(1),)), linear)


@pytest.mark.parametrize('name', quick_or_slow(NORM))
@torch.no_grad()
def test_pooled_before_the_norm(name):
    model, images = stock(name, NORM[name])
    backbone, norm = model.backbone, model.backbone.norm3
    backbone.gap_before_final_norm, backbone.norm3 = False, nn.Identity()
    feature = backbone(images)[-1]
    backbone.gap_before_final_norm, backbone.norm3 = True, norm
    flat = 'edgenext' in name

    def tail(x, i, j):
        return model.head((norm(x.flatten(1) if flat else x).flatten(1),))

    check(model, images, feature, tail, linear=False)


@pytest.mark.parametrize('name', SMALL)
@torch.no_grad()
def test_small(name):
    head = dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=32)
    images = torch.randn(2, 3, 64, 64)
    model = settle(build(teacher_config(backbone=SMALL[name], head=head)), images)
    feature = pooled_map(model, images)
    check(model, images, feature, lambda x, i, j: model.head((x.flatten(1),)), linear=True)


@pytest.mark.slow
@torch.no_grad()
def test_inception():
    """Pooled and classified in the backbone, beside an auxiliary classifier that pools too."""
    config = get_config('mmpretrain::inception_v3/inception-v3_8xb32_in1k.py').model
    config.backbone.aux_logits = True
    images, maps = torch.randn(2, 3, 139, 139), []
    model = settle(MODELS.build(dict(_scope_='mmpretrain', **config)), images)
    model.backbone.Mixed_7c.register_forward_hook(lambda module, inputs, out: maps.append(out))
    model(images)
    check(model, images, maps[0], lambda x, i, j: model.backbone.fc(x.flatten(1)), linear=True)


@torch.no_grad()
def test_gem():
    config = get_config('mmpretrain::_base_/models/resnet34_gem.py').model
    images = torch.randn(2, 3, 64, 64)
    model = settle(MODELS.build(dict(_scope_='mmpretrain', **config)), images)
    feature = pooled_map(model, images)
    check(model, images, feature, lambda x, i, j: model.head((x.flatten(1),)), linear=False)


@torch.no_grad()
def test_arcface():
    """A reduced feature, normalised before it is compared with the classes."""
    neck = dict(type='LinearNeck', in_channels=64, out_channels=24, norm_cfg=dict(type='BN1d'))
    head = dict(type='ArcFaceClsHead', num_classes=NUM_CLASSES, in_channels=24)
    neck = [dict(type='GlobalAveragePooling'), neck]
    images = torch.randn(2, 3, 32, 32)
    model = settle(build(teacher_config(neck=neck, head=head)), images)
    feature = model.backbone(images)[-1]

    def tail(x, i, j):
        return model.head(model.neck[1]((x.flatten(1),)))

    check(model, images, feature, tail, linear=False)


def alexnet():
    backbone = dict(type='AlexNet', num_classes=NUM_CLASSES)
    images = torch.randn(2, 3, 224, 224)
    return build(teacher_config(backbone=backbone, neck=None, head=dict(type='ClsHead'))), images


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ('alexnet', 'vgg', 'timm')]


@pytest.mark.parametrize('family', ['lenet', *LARGE])
@torch.no_grad()
def test_connected_to_the_whole_map(family):
    """A location's part of the map, in its own place and as large as the sum of all parts."""
    if family == 'lenet':
        model, images = stock('lenet/lenet5_mnist', 32, channels=1)
        layers = [*model.backbone.features, nn.Flatten(), *model.backbone.classifier]
        behind = 6
    elif family == 'timm':
        config = dict(type='mmpretrain.TimmClassifier', model_name='vgg11', num_classes=5)
        model, images = build(config), torch.randn(2, 3, 224, 224)
        layers = [*model.model.features, model.model.pre_logits, model.model.head]
        behind = len(model.model.features)
    else:
        model, images = alexnet() if family == 'alexnet' else stock('vgg/vgg11bn_8xb32_in1k', 224)
        layers = [*model.backbone.features, nn.Flatten(), *model.backbone.classifier]
        behind = len(model.backbone.features)
    model.eval()
    before, after = nn.Sequential(*layers[:behind]), nn.Sequential(*layers[behind:])
    feature = before(images)
    area = feature.shape[-2:].numel()

    def tail(x, i, j):
        alone = torch.zeros_like(feature)
        alone[:, :, i : i + 1, j : j + 1] = area * x
        return after(alone)

    check(model, images, feature, tail, linear=False, everywhere=family == 'lenet')


def test_connected_linear_classifier():
    """Without hidden layers the mean over the locations is the global response, as for pooling."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4 * 5, NUM_CLASSES))
    images = torch.randn(2, 3, 6, 7)
    spatial, whole = record(net, images, feature='0', source='2')
    assert spatial.shape == (2, NUM_CLASSES, 4, 5)
    torch.testing.assert_close(spatial.mean((2, 3)), net(images))
    torch.testing.assert_close(whole, net(images))


TORCHVISION = dict(
    alexnet=(224, False),
    densenet121=(64, True),
    mnasnet0_5=(64, True),
    mobilenet_v2=(64, True),
    shufflenet_v2_x0_5=(64, True),
    squeezenet1_1=(64, True),
)


@pytest.mark.parametrize(
    'name', [pytest.param('alexnet', marks=pytest.mark.slow), *list(TORCHVISION)[1:]]
)
def test_torchvision(name):
    """Plain modules that pool with a function, not at all, or after the classifier."""
    import torchvision

    size, linear = TORCHVISION[name]
    images = torch.randn(2, 3, size, size)
    model = settle(getattr(torchvision.models, name)(num_classes=NUM_CLASSES), images)
    own = model(images)
    spatial, whole = record(model, images)
    near = dict(rtol=1e-4, atol=1e-5 * own.abs().max().item())
    torch.testing.assert_close(whole, own, **near)
    assert spatial.shape[-1] > 1
    assert torch.allclose(spatial.mean((2, 3)), own, **near) == linear


def test_named_function():
    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.drop = nn.Conv2d(3, 8, 3), nn.Dropout()
            self.fc = nn.Linear(8, NUM_CLASSES)

        def forward(self, x):
            return self.fc(self.drop(self.stem(x).mean((2, 3))))

    model, images = Teacher().eval(), torch.randn(2, 3, 6, 7)
    with pytest.raises(ValueError, match=r'No global pooling .*\.source or, .* \.feature'):
        SpatialResponseRecorder().initialize(model)
    spatial, whole = record(model, images, feature='stem', source='drop')
    torch.testing.assert_close(spatial.mean((2, 3)), model(images))
    torch.testing.assert_close(whole, model(images))


FAMILIES = (
    'lenet/lenet5_mnist',
    'convnext_v2/convnext-v2-atto_32xb32_in1k',
    'resnet/resnet18_8xb32_in1k',
)


# In place, as this package does it.
COMPILES = pytest.mark.skipif(not hasattr(torch.nn.Module, 'compile'), reason='needs torch >= 2.2')
COARSE = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.1'),
    reason='torch < 2.1 adds up convolutions in bfloat16: half of the answer is rounding',
)


def marks(family, mode):
    if mode == 'compile':
        return COMPILES, pytest.mark.slow
    return COARSE if 'resnet' in family and mode in ('autocast', 'half') else ()


MODES = [
    pytest.param(family, mode, marks=marks(family, mode))
    for family in FAMILIES
    for mode in ('inference', 'channels_last', 'autocast', 'half', 'compile')
]


@pytest.mark.parametrize('family, mode', MODES)
def test_modes(family, mode):
    """How a run may call its teacher changes the numbers by no more than their rounding."""
    model, images = stock(family, 32, 1) if 'lenet' in family else stock(family, 64)
    expected = record(model, images)
    coarse = 1e-4
    if mode == 'channels_last':
        model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if mode == 'half':
        model, images, coarse = model.bfloat16(), images.bfloat16(), 0.2
    if mode == 'compile':
        torch._dynamo.reset()
        model.backbone.compile(backend='eager')

    def call(images):
        return model(images, mode='tensor')

    if mode == 'inference':
        call = torch.inference_mode()(call)
    if mode == 'autocast':
        call, coarse = torch.autocast('cpu', torch.bfloat16)(call), 0.2
    for given, wanted in zip(record(model, images, call), expected):
        assert given.shape == wanted.shape
        error = (given.float() - wanted).abs().max()
        assert error < coarse * wanted.abs().max()


@pytest.mark.slow
@COMPILES
def test_compiled_teacher_is_not_compiled_again():
    """Neither for the check nor for every step."""
    model, images = stock('convnext_v2/convnext-v2-atto_32xb32_in1k', 64)
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    recorder = SpatialResponseRecorder()
    recorder.initialize(model)
    model.backbone.compile(backend=backend)
    with torch.no_grad():
        model(images)
        before = len(graphs)
        for _ in range(3):
            with recorder:
                model(images)
    assert before > 0
    # The norm behind the pooling sees two sizes of batch.
    assert len(graphs) <= before + 2


def test_first_batch_is_checked_once():
    model = build(teacher_config()).eval()
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    recorder = SpatialResponseRecorder()
    recorder.initialize(model)
    for expected in (2, 3, 4):
        with torch.no_grad(), recorder:
            model(batch()[0])
        assert (len(calls), len(recorder.data_buffer)) == (expected, 1)


def test_keys_beside_a_stock_config_are_merged_into_it(tmp_path):
    """In teacher and student, in the algorithm; a config of one's own inherits a scope."""
    named = dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        backbone=dict(depth=34, base_channels=8, stem_channels=8),
        head=dict(in_channels=64, num_classes=NUM_CLASSES),
        data_preprocessor=dict(mean=[1.0, 2.0, 3.0]),
    )
    model = MODELS.build(algorithm_config(teacher=copy.deepcopy(named)))
    assert model.teacher.backbone.depth == 34
    assert model.teacher.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    assert float(model.teacher.data_preprocessor.std[0]) == pytest.approx(51.5865)  # the stock one
    own = tmp_path / 'own.py'
    own.write_text("_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'\n")
    for changes in (dict(cfg_path=str(own)), dict(cfg_path=str(own), _scope_='mmrazor')):
        again = MODELS.build(algorithm_config(teacher={**copy.deepcopy(named), **changes}))
        assert again.teacher.backbone.depth == 34
    vit = tmp_path / 'vit.py'
    vit.write_text("_base_ = 'mmpretrain::deit/deit-tiny-distilled_4xb256_in1k.py'\n")
    student = dict(
        cfg_path=str(vit),
        backbone=dict(arch=dict(_delete_=True, **ARCH), patch_size=4, img_size=32),
        head=dict(in_channels=24, num_classes=NUM_CLASSES),
    )
    ours = dict(student, type='mmpretrain.CSKDClassifier')
    for part in (MODELS.build(ours), MODELS.build(named_model(student, 'model.architecture'))):
        assert (part.backbone.embed_dims, part.head.num_classes) == (24, NUM_CLASSES)
    with pytest.raises(ValueError, match=r'model\.teacher\.pretrained is True.*teacher_ckpt'):
        MODELS.build(algorithm_config(teacher=dict(named, pretrained=True)))


def test_stock_config_needs_no_download(monkeypatch, tmp_path):
    """A config that names weights by URL, built at random and with a checkpoint."""
    name = 'mmpretrain::resnet/resnet50_8xb8_cub.py'
    assert get_config(name).model.backbone.init_cfg.checkpoint.startswith('https:')
    load = CheckpointLoader.load_checkpoint

    def no_url(filename, *args, **kwargs):
        assert not filename.startswith('http'), filename
        return load(filename, *args, **kwargs)

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', no_url)
    student = student_config()
    student['head']['num_classes'] = 200
    config = dict(architecture=student, teacher=dict(cfg_path=name, pretrained=False))
    algorithm = MODELS.build(algorithm_config(**config))
    algorithm.init_weights()
    state = algorithm.teacher.state_dict()
    torch.save(state, tmp_path / 'teacher.pth')
    given = dict(config, random_teacher=False, teacher_ckpt=str(tmp_path / 'teacher.pth'))
    loaded = MODELS.build(algorithm_config(**given)).teacher.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    del state['head.fc.bias']
    torch.save(state, tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match=r'lacks 1 of .*head\.fc\.bias'):
        MODELS.build(algorithm_config(**given))
