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
    tokens_of,
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
    head = model.head.layers.head_dist if dist_token else model.head_dist
    assert tokens.num_extra_tokens == extra
    assert tokens.grid == grid
    assert tokens.tokens.shape == (2, extra + grid[0] * grid[1], 24)

    response = PatchTokenConnector()(tokens)(size)
    assert response.shape == (2, NUM_CLASSES, *size)
    expected = respond_slowly(tokens.tokens, extra, grid, head, size)
    torch.testing.assert_close(response, expected)
    assert torch.equal(PatchTokenConnector(grid=size)(tokens), response)


def test_recorded_tokens_are_the_normed_ones():
    model = build(student_config()).eval()
    images, _ = batch()
    assert torch.equal(record(model, images).tokens, tokens_of(model, images))


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


@pytest.mark.parametrize('extra, grid, size', [(2, (4, 6), (2, 3)), (1, (5, 7), (3, 3))])
def test_gradient(extra, grid, size):
    """Of all tokens: the extra ones have none from the patches' response, nor else the patches."""
    head = nn.Linear(5, 3)
    tokens = torch.randn(2, extra + grid[0] * grid[1], 5, requires_grad=True)
    record = PatchTokens(tokens, extra, grid, head)
    weights = torch.randn(2, 3, *size)
    response = PatchTokenConnector(grid=size)(record)
    found = torch.autograd.grad((response * weights).sum(), tokens)[0]
    slow = respond_slowly(tokens, extra, grid, head, size)
    torch.testing.assert_close(found, torch.autograd.grad((slow * weights).sum(), tokens)[0])
    assert not found[:, :extra].any()
    assert found[:, extra:].any()
    if extra == 2:
        found = torch.autograd.grad(DistTokenConnector()(record).sum(), tokens)[0]
        expected = torch.zeros_like(tokens)
        expected[:, 1] = head.weight.sum(0)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    'config, names',
    [
        (teacher_config(), 'ResNet_CIFAR with LinearClsHead'),
        (
            dict(
                type='mmpretrain.ImageClassifier',
                backbone=dict(type='DistilledVisionTransformer', arch='deit-tiny'),
                head=dict(type='DeiTClsHead', num_classes=NUM_CLASSES, in_channels=192),
            ),
            'DistilledVisionTransformer with DeiTClsHead',
        ),
    ],
)
def test_stock_classifier(config, names):
    message = rf'ImageClassifier of {names}.*architecture\.type to "mmpretrain\.CSKDClassifier"'
    with pytest.raises(ValueError, match=message):
        PatchTokenRecorder().initialize(build({'_scope_': 'mmpretrain', **config}))


def test_source_not_in_the_student():
    message = r'model\.architecture\.source: "backbone.ln2".*"backbone.ln1"'
    with pytest.raises(ValueError, match=message):
        build(dict(student_config(), source='backbone.ln2'))


@pytest.mark.parametrize(
    'source, error',
    [
        ('backbone.patch_embed.projection', 'gave no distillation token'),
        ('head.layers.head', 'the student did not run "head.layers.head"'),
        ('backbone.layers.0.attn.qkv', r'gave \(3, 66, 72\), expected \(N, 2 \+ 8·8, 24\)'),
    ],
)
def test_source_without_all_tokens(source, error):
    model = build(dict(student_config(), source=source))
    with pytest.raises(ValueError, match=r'architecture\.source.*' + error):
        record(model, batch()[0])


@pytest.mark.parametrize('grid', [(7,), (0, 7), (7.0, 7)])
def test_bad_grid(grid):
    with pytest.raises((TypeError, ValueError), match=r'PatchTokenConnector\.grid'):
        PatchTokenConnector(grid=grid)


def test_connector_on_a_plain_tensor():
    with pytest.raises(TypeError, match=r'student_recorders\.<name>\.type'):
        PatchTokenConnector()(torch.randn(2, 66, 24))
