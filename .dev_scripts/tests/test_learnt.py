"""What is measured of students beside their accuracy."""

import learnt
import pytest
import torch
from mmpretrain.models import build_backbone
from results import Table
from tool_runs import ROOT
from torch import nn


def pictures(number=4):
    return torch.rand(number, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('kind', learnt.KINDS)
def test_corruption_grows_with_its_severity(kind):
    images = pictures(32)
    before = images.clone()
    spoilt = [learnt.corrupted(images, kind, severity) for severity in learnt.SEVERITIES]
    assert all(one.shape == images.shape and 0 <= one.min() <= one.max() <= 1 for one in spoilt)
    if kind == 'shift':  # of random pixels no shift is further from the image than another
        images = torch.linspace(0, 1, 28).expand(32, 1, 28, 28)
        spoilt = [learnt.corrupted(images, kind, severity) for severity in learnt.SEVERITIES]
    far = [(one - images).square().mean().item() for one in spoilt]
    assert far == sorted(far) and far[0] > 0
    torch.testing.assert_close(learnt.corrupted(images, kind, 3), spoilt[2], rtol=0, atol=0)
    torch.testing.assert_close(pictures(32), before, rtol=0, atol=0)


def test_shift_goes_to_all_four_sides():
    images = torch.zeros(64, 1, 28, 28)
    images[:, :, 14, 14] = 1
    found = learnt.corrupted(images, 'shift', 2).nonzero()[:, 2:]
    assert {tuple(place) for place in found.tolist()} == {(12, 12), (12, 16), (16, 12), (16, 16)}


def student():
    torch.manual_seed(0)
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8)
    config = dict(type='DistilledVisionTransformer', arch=arch, img_size=28, patch_size=4)
    model = build_backbone(dict(config, in_channels=1, out_type='raw'))
    model.eval()
    return model


@torch.no_grad()
def test_distance_of_equal_attention_is_the_mean_of_all():
    """And the student is read, not changed."""
    model, images = student(), pictures()
    expected = model(images)[0]
    distance = learnt.AttentionDistance(model, model.patch_embed.init_out_size)
    torch.testing.assert_close(model(images)[0], expected)
    for layer in model.layers:
        nn.init.zeros_(layer.attn.qkv.weight)
    distance = learnt.AttentionDistance(model, (7, 7))
    model(images)
    places = [(row, column) for row in range(7) for column in range(7)]
    mean = (
        sum(((a - c) ** 2 + (b - d) ** 2) ** 0.5 for a, b in places for c, d in places)
        / len(places) ** 2
    )
    assert distance.layers() == pytest.approx([mean, mean])


@torch.no_grad()
def test_distance_of_a_look_at_oneself_is_zero():
    model = student()
    distance = learnt.AttentionDistance(model, (7, 7))
    query = 1000 * torch.eye(51)[None, None]
    value = torch.rand(1, 1, 51, 4)
    found = model.layers[0].attn.scaled_dot_product_attention(query, query, value)
    torch.testing.assert_close(found, value)
    assert distance.sums[0] == pytest.approx(0, abs=1e-6)


def test_what_is_written_down_is_of_the_runs_that_are_compared():
    """The weights that were measured give the accuracy that the comparison has."""
    folder = ROOT / 'docs' / 'evidence'
    runs = Table(folder, 'runs').read()
    found = Table(folder, 'learnt').read(measure='accuracy')
    assert len(found)
    joined = found.merge(runs, on=['setting', 'arm', 'seed', 'config'], how='left')
    assert (joined.value - joined.score).abs().max() < 0.02
