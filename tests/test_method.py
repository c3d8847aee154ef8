"""The pure functions, each against its equation."""

import pytest
import torch
from torch import nn

from mmcskd import method


def test_pooling_and_a_linear_head_commute():
    """Equation (1) against the logits of every patch, pooled; also where sides do not divide."""
    head = nn.Linear(6, 5).double()
    for grid, to in (((4, 6), (2, 3)), ((5, 7), (3, 3)), ((2, 3), (4, 5)), ((3, 3), (3, 3))):
        tokens = torch.randn(2, grid[0] * grid[1], 6, dtype=torch.float64)
        logits = head(tokens).transpose(1, 2).unflatten(2, grid)
        expected = nn.functional.adaptive_avg_pool2d(logits, to)
        torch.testing.assert_close(method.respond(tokens, grid, head, to), expected)


@pytest.mark.parametrize('weight', [0.0, 0.3, 1.0])
def test_fusion(weight):
    spatial_response, global_response = torch.randn(2, 5, 3, 4), torch.randn(2, 5)
    found = method.fuse(spatial_response, global_response, weight)
    for n, c, i, j in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        expected = (
            weight * spatial_response[n, c, i, j] + (1 - weight) * global_response[n, c]
        )  # fmt: skip
        torch.testing.assert_close(found[n, c, i, j], expected)
    # Levels of anchors (N, A, C, H, W), and single classes at single places.
    levels = method.fuse(spatial_response[:, None], global_response[:, None], weight)
    assert torch.equal(levels[:, 0], found)
    whole = global_response[..., None, None].expand_as(spatial_response).flatten()
    assert torch.equal(method.fuse(spatial_response.flatten(), whole, weight), found.flatten())


def test_fusion_does_not_depend_on_the_layout_in_memory():
    """Some layouts are summed by instructions that round once; the labels of a bank forbid it."""
    spatial_response, global_response = torch.randn(3, 1000, 7, 7), torch.randn(3, 1000)
    expected = method.fuse(spatial_response, global_response, 0.3)
    last = spatial_response.contiguous(memory_format=torch.channels_last)
    assert torch.equal(method.fuse(last, global_response, 0.3), expected)
    one = method.fuse(spatial_response[1, 500, 3, 3][None], global_response[1, 500][None], 0.3)
    assert one == expected[1, 500, 3, 3]
    separate = spatial_response * 0.3 + (global_response * (1 - 0.3))[..., None, None]
    assert torch.equal(expected, separate)


def test_gradients_reach_the_student_and_stay_in_its_dtype():
    student = torch.randn(2, 5, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    teacher = torch.randn(2, 5, 3, 3)
    for loss in (
        method.hard_loss(student, teacher.argmax(1)),
        method.soft_loss(student, teacher, 2.0),
    ):
        assert loss.dtype == torch.float32
        (gradient,) = torch.autograd.grad(loss, student)
        assert gradient.dtype == torch.bfloat16 and gradient.abs().sum() > 0


def test_agreement():
    student = torch.eye(3)[None].unsqueeze(-1)  # class i at the i-th of three places
    assert method.agreement(student, torch.tensor([[[0], [1], [1]]])) == pytest.approx(2 / 3)


def test_a_grid_that_divides_is_pooled_without_an_adaptive_pool():
    """Of which CUDA has no deterministic gradient: torch would refuse deterministic=True."""
    tokens = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    for to, name in (((2, 3), 'AvgPool2DBackward0'), ((3, 4), 'AdaptiveAvgPool2DBackward0')):
        pooled = method.pool(tokens, to)
        torch.testing.assert_close(pooled, nn.functional.adaptive_avg_pool2d(tokens, to))
        assert pooled.grad_fn.name() == name
    assert method.pool(tokens, (4, 6)) is tokens
