"""From the student's tokens to its responses: recorder and connectors."""

import pytest
import torch
from models import (
    NUM_CLASSES,
    batch,
    build,
    respond_slowly,
    student_config,
    teacher_config,
)
from torch import nn

from mmcskd import DistTokenConnector, PatchTokenConnector, PatchTokenRecorder, PatchTokens


def record(model, images):
    recorder = PatchTokenRecorder()
    recorder.initialize(model)
    with recorder:
        model(images)
    return recorder.get_record_data()


@pytest.mark.parametrize('dist_token', [True, False])
@pytest.mark.parametrize(
    'image, size', [((32, 32), (4, 4)), ((32, 32), (3, 5)), ((24, 48), (3, 6))]
)
def test_response(dist_token, image, size):
    model = build(student_config(dist_token)).eval()
    tokens = record(model, batch(2, *image)[0])
    extra = 2 if dist_token else 1
    grid = (image[0] // 4, image[1] // 4)
    assert tokens.num_extra_tokens == extra
    assert tokens.grid == grid
    assert tokens.tokens.shape == (2, extra + grid[0] * grid[1], 24)

    response = PatchTokenConnector()(tokens)(size)
    assert response.shape == (2, NUM_CLASSES, *size)
    expected = respond_slowly(tokens.tokens, extra, grid, model.head.layers.head_dist, size)
    torch.testing.assert_close(response, expected)
    assert torch.equal(PatchTokenConnector(grid=size)(tokens), response)


def test_recorded_tokens_are_the_normed_ones():
    model = build(student_config()).eval()
    images, _ = batch()
    assert torch.equal(record(model, images).tokens, model.backbone(images)[-1])


def test_rows_and_columns_stay_in_place():
    """A token marked by its place comes out at its place."""
    height, width = 4, 6
    marks = torch.arange(height * width, dtype=torch.float32)
    tokens = PatchTokens(marks.reshape(1, -1, 1), 0, (height, width), nn.Identity())
    response = PatchTokenConnector(grid=(2, 3))(tokens)
    assert response[0, 0].tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_head_sees_pooled_tokens_only():
    """No logits of all h·w patches exist: the head is given H·W of them."""
    seen = []

    def head(tokens):
        seen.append(tokens.shape)
        return tokens

    PatchTokenConnector(grid=(7, 7))(PatchTokens(torch.randn(2, 198, 5), 2, (14, 14), head))
    assert seen == [(2, 7, 7, 5)]


def test_weights_are_shared():
    model = build(student_config())
    tokens = record(model, batch()[0])
    connector = PatchTokenConnector(grid=(4, 4))
    assert not list(connector.parameters())
    connector(tokens).sum().backward()
    by_patches = model.head.layers.head_dist.weight.grad.clone()
    assert by_patches.abs().sum() > 0
    DistTokenConnector()(record(model, batch()[0])).sum().backward()
    assert not torch.equal(model.head.layers.head_dist.weight.grad, by_patches)
    assert model.head.layers.head.weight.grad is None


def test_distillation_token():
    model = build(student_config()).eval()
    tokens = record(model, batch()[0])
    expected = model.head.layers.head_dist(tokens.tokens[:, 1])
    assert torch.equal(DistTokenConnector()(tokens), expected)


def test_no_distillation_token():
    tokens = record(build(student_config(dist_token=False)), batch()[0])
    with pytest.raises(ValueError, match=r'no distillation token.*distiller\.distill_losses'):
        DistTokenConnector()(tokens)


def test_no_patch_tokens():
    message = r'ResNet_CIFAR with LinearClsHead.*model\.architecture\.type to "CSKDClassifier"'
    with pytest.raises(ValueError, match=message):
        PatchTokenRecorder().initialize(build(teacher_config()))


def test_head_without_patch_tokens():
    config = teacher_config(head=student_config()['head'], neck=None)
    with pytest.raises(ValueError, match=r'ResNet_CIFAR.*model\.architecture\.backbone\.type'):
        PatchTokenRecorder().initialize(build(config))


def test_stock_head():
    config = student_config()
    config['backbone']['out_type'] = 'cls_token'
    config['head'] = dict(type='DeiTClsHead', num_classes=NUM_CLASSES, in_channels=24)
    with pytest.raises(ValueError, match=r'DeiTClsHead.*model\.architecture\.head\.type'):
        PatchTokenRecorder().initialize(build(config))


def test_head_of_the_other_kind():
    config = student_config(dist_token=False)
    config['head']['type'] = 'CSKDDeiTHead'
    with pytest.raises(
        ValueError, match='VisionTransformer puts 1 tokens .*CSKDDeiTHead expects 2'
    ):
        PatchTokenRecorder().initialize(build(config))


def test_source_not_in_the_student():
    with pytest.raises(ValueError, match=r'PatchToken\.source: "backbone.ln2".*"backbone.ln1"'):
        PatchTokenRecorder('backbone.ln2').initialize(build(student_config()))


def test_source_without_all_tokens():
    model = build(student_config())
    for source, error in (
        ('backbone.patch_embed.projection', r'gave \(3, 24, 8, 8\), expected \(N, 2 \+ h·w, D\)'),
        ('head.layers.head', r'gave \(3, 7\), expected \(N, 2 \+ 8·8, D\)'),
    ):
        recorder = PatchTokenRecorder(source)
        recorder.initialize(model)
        with pytest.raises(ValueError, match=r'PatchToken\.source.*' + error), recorder:
            model(batch()[0])


@pytest.mark.parametrize('grid', [(7,), (0, 7), (7.0, 7)])
def test_bad_grid(grid):
    with pytest.raises((TypeError, ValueError), match=r'PatchTokenConnector\.grid'):
        PatchTokenConnector(grid=grid)


def test_connector_on_a_plain_tensor():
    with pytest.raises(TypeError, match=r'student_recorders\.<name>\.type'):
        PatchTokenConnector()(torch.randn(2, 66, 24))
