"""A layer of the student learns the teacher's last feature map."""

import pytest
import torch
from mmengine.config import Config
from mmrazor.registry import MODELS
from models import CONFIGS, algorithm_config, batch, build, student_config, teacher_config

from mmcskd import FeatureConnector, FeatureLoss, PatchTokenRecorder


def features():
    return Config.fromfile(CONFIGS / '_base_' / 'distillers.py').cskd_features_distiller.to_dict()


def outputs_of(module):
    seen = []
    module.register_forward_hook(lambda module, inputs, out: seen.append(out))
    return seen


@pytest.mark.parametrize('depth, layer', [(0.1, 0), (0.5, 0), (2 / 3, 0), (0.8, 1), (1, 1)])
def test_tokens_behind_a_share_of_the_layers(depth, layer):
    model = build(student_config()).eval()
    seen = outputs_of(model.backbone.layers[layer])
    recorder = PatchTokenRecorder(depth=depth)
    recorder.initialize(model)
    with recorder:
        model(batch()[0])
    tokens = recorder.get_record_data()
    assert torch.equal(tokens.tokens, seen[0])
    assert (tokens.num_extra_tokens, tokens.grid) == (2, (8, 8))


@pytest.mark.parametrize('layers, layer', [(3, 1), (12, 7)])
def test_two_thirds(layers, layer):
    """The second of three layers, as in the comparison; the eighth of a DeiT's twelve."""
    config = student_config()
    config['backbone']['arch'] = dict(config['backbone']['arch'], num_layers=layers)
    model = build(config).eval()
    recorder = PatchTokenRecorder(depth=features()['student_recorders']['hidden']['depth'])
    recorder.initialize(model)
    seen = outputs_of(model.backbone.layers[layer])
    with recorder:
        model(batch()[0])
    assert torch.equal(recorder.get_record_data().tokens, seen[0])


@pytest.mark.parametrize('depth', [0, -0.5, 1.5, float('nan')])
def test_bad_depth(depth):
    with pytest.raises(
        ValueError, match=r'student_recorders\.<name>\.depth is .*, expected a share'
    ):
        PatchTokenRecorder(depth=float(depth))


def test_layers_that_differ():
    swin = dict(
        _scope_='mmpretrain', type='CSKDClassifier',
        cfg_path='mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
    )  # fmt: skip
    with pytest.raises(ValueError, match=r'depth: SwinTransformer is no sequence of layers'):
        PatchTokenRecorder(depth=0.5).initialize(MODELS.build(swin))


def test_loss_is_that_of_the_two_models():
    """Tokens of the layer, projected, against the input of the teacher's pooling."""
    torch.manual_seed(0)
    model = build(algorithm_config(distiller=features()))
    images, samples = batch()
    model.respond(images)  # the first batch passes the teacher more than once
    hidden = outputs_of(model.student.backbone.layers[0])
    theirs = outputs_of(model.teacher.backbone)
    losses = model(images, samples, mode='loss')
    assert {name for name in losses if 'loss' in name} == {
        'loss_base', 'loss_cskd', 'loss_deit', 'loss_feature',
    }  # fmt: skip
    linear = model.distiller.connectors.feature.linear
    assert (linear.in_features, linear.out_features) == (24, 64)
    patches = hidden[0][:, 2:].reshape(3, 4, 2, 4, 2, 24).mean((2, 4))
    target = theirs[0][-1].permute(0, 2, 3, 1)
    expected = 30 * (linear(patches) - target).square().mean() / target.var(correction=0)
    torch.testing.assert_close(losses['loss_feature'], expected, rtol=1e-4, atol=0)
    losses['loss_feature'].backward()
    assert linear.weight.grad.any() and model.student.backbone.layers[0].attn.qkv.weight.grad.any()
    assert model.student.backbone.layers[1].attn.qkv.weight.grad is None


def test_what_is_recorded_does_not_change_the_responses():
    """The map is a third part of the record, of the same pass with folded norms."""
    torch.manual_seed(0)
    kept = build(algorithm_config(distiller=features()))
    images, samples = batch()
    kept(images, samples, mode='loss')
    recorder = kept.distiller.teacher_recorders.recorders['response']
    kept.respond(images)
    spatial, whole, feature = recorder.data_buffer[0]
    assert feature.shape == (3, 64, 4, 4)
    head = kept.teacher.head.fc
    torch.testing.assert_close(head(feature.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), spatial)
    torch.testing.assert_close(head(feature.mean((2, 3))), whole)


@pytest.mark.parametrize('channels', [0, -3])
def test_bad_channels(channels):
    with pytest.raises(ValueError, match=r'connectors\.<name>\.out_channels is .*, expected 1 or'):
        FeatureConnector(out_channels=channels)


def test_other_channels_than_the_teachers():
    distiller = features()
    distiller['connectors']['feature']['out_channels'] = 63
    model = build(algorithm_config(distiller=distiller))
    with pytest.raises(ValueError, match=r'out_channels to 64'):
        model(*batch(), mode='loss')


def test_teacher_that_does_not_say_its_channels():
    head = dict(type='ClsHead', loss=dict(type='CrossEntropyLoss'))
    teacher = dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(type='VGG', depth=11, num_classes=7),
        head=head,
    )
    with pytest.raises(ValueError, match=r'out_channels is not set, and the teacher .* no head'):
        MODELS.build(algorithm_config(distiller=features(), teacher=teacher))


def test_connector_on_a_plain_tensor():
    with pytest.raises(TypeError, match=r'student_recorders\.<name>\.type'):
        FeatureConnector(out_channels=3)(torch.randn(2, 66, 24))


def test_a_map_that_is_not_kept():
    distiller = features()
    del distiller['teacher_recorders']['response']['keep_map']
    with pytest.raises(ValueError, match=r'data_idx is 2, expected .* keep_map=True, 2'):
        MODELS.build(algorithm_config(distiller=distiller))


def test_a_bank_has_no_maps(tmp_path):
    bank = dict(path=str(tmp_path))
    with pytest.raises(ValueError, match=r'response\.keep_map is set, but model\.bank holds no'):
        MODELS.build(algorithm_config(distiller=features(), bank=bank))


def test_feature_loss_is_none_of_a_teachers_answer():
    """So that the teacher does not run in inference mode, whose maps no loss may keep."""
    model = build(algorithm_config(distiller=features(), teacher=teacher_config()))
    model.respond(batch()[0])
    feature = model.distiller.teacher_recorders.recorders['response'].data_buffer[0][2]
    assert not feature.is_inference() and isinstance(
        model.distiller.distill_losses.loss_feature, FeatureLoss
    )
