"""Teacher and student on grids of any size: where they meet, and with what values."""

import math

import pytest
import torch
import torch.nn.functional as F
from models import algorithm_config, batch, build, teacher_config
from torch import nn

from mmcskd import CSKDLoss, PatchTokenConnector, PatchTokens

WEIGHT = 0.3


def pooled_slowly(rows, grid):
    """rows[i][j] is the vector at a location; each new one is the mean over the cells it covers."""
    height, width = len(rows), len(rows[0])

    def cells(k, old, new):
        return range(k * old // new, math.ceil((k + 1) * old / new))

    return [
        [
            sum(
                rows[i][j]
                for i in cells(y, height, grid[0])
                for j in cells(x, width, grid[1])
            )
            / (len(cells(y, height, grid[0])) * len(cells(x, width, grid[1])))
            for x in range(grid[1])
        ]
        for y in range(grid[0])
    ]  # fmt: skip


def slowly(tokens, grid, head, spatial, whole, where, mode):
    """The loss as the method reads, one location at a time."""
    total, same = [], []
    for n in range(len(tokens)):
        students = [
            [head(tokens[n, i * grid[1] + j]) for j in range(grid[1])] for i in range(grid[0])
        ]
        teachers = [
            [spatial[n, :, i, j] for j in range(spatial.shape[3])] for i in range(spatial.shape[2])
        ]
        students, teachers = pooled_slowly(students, where), pooled_slowly(teachers, where)
        for i in range(where[0]):
            for j in range(where[1]):
                target = WEIGHT * teachers[i][j] + (1 - WEIGHT) * whole[n]
                logs = F.log_softmax(students[i][j], 0)
                if mode == 'hard':
                    total.append(-logs[target.argmax()])
                else:
                    wanted = F.log_softmax(target, 0)
                    total.append((wanted.exp() * (wanted - logs)).sum())
                same.append(float(students[i][j].argmax() == target.argmax()))
    loss = sum(total) / (len(total) if mode == 'hard' else len(tokens))
    return loss, sum(same) / len(same)


@pytest.mark.parametrize('mode', ['hard', 'soft'])
@pytest.mark.parametrize(
    'own, theirs, choice, where',
    [
        ((4, 4), (2, 2), 'coarser', (2, 2)),
        ((2, 2), (4, 4), 'coarser', (2, 2)),
        ((5, 4), (3, 3), 'coarser', (3, 3)),
        ((3, 5), (4, 2), 'coarser', (3, 2)),
        ((2, 6), (6, 2), 'coarser', (2, 2)),
        ((2, 3), (4, 5), 'teacher', (4, 5)),
        ((4, 5), (2, 3), 'student', (4, 5)),
        ((3, 3), (3, 3), 'coarser', (3, 3)),
        ((1, 1), (7, 7), 'coarser', (1, 1)),
    ],
)
def test_loss_on_two_grids(own, theirs, choice, where, mode):
    torch.manual_seed(sum(own) * 10 + sum(theirs))
    head = nn.Linear(6, 5).double()
    tokens = torch.randn(2, own[0] * own[1], 6, dtype=torch.float64, requires_grad=True)
    spatial = torch.randn(2, 5, *theirs, dtype=torch.float64)
    whole = torch.randn(2, 5, dtype=torch.float64)
    loss = CSKDLoss(mode=mode, fusion_weight=WEIGHT, grid=choice)
    value = loss(PatchTokenConnector()(PatchTokens(tokens, 0, own, head)), spatial, whole)
    expected, agreement = slowly(tokens, own, head, spatial, whole, where, mode)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    assert float(loss.agreement) == pytest.approx(agreement)
    (gradient,) = torch.autograd.grad(value, tokens, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, tokens)
    torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)


def test_unknown_grid():
    with pytest.raises(ValueError, match=r'CSKDLoss\.grid: "coarse" .*Nearest: "coarser"'):
        CSKDLoss(grid='coarse')


def test_a_finer_teacher_in_a_training_step():
    """A teacher of stride 2 has 16 × 16 locations where the student has 8 × 8 tokens."""
    config = algorithm_config(
        teacher=teacher_config(
            backbone=dict(
                type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8, num_stages=2,
                strides=(1, 2), dilations=(1, 1), out_indices=(1,),
            ),
            head=dict(type='LinearClsHead', num_classes=7, in_channels=16),
        ),
        distiller=algorithm_config()['distiller'],
    )  # fmt: skip
    algorithm = build(config).train()
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(WEIGHT)
    seen = []
    handle = algorithm.student.head.layers.head_dist.register_forward_hook(
        lambda module, inputs, output: seen.append(tuple(output.shape))
    )
    losses = algorithm(*batch(), mode='loss')
    handle.remove()
    assert (3, 8, 8, 7) in seen
    losses['loss_cskd'].backward()


@pytest.mark.parametrize('height, width', [(32, 48), (48, 32)])
def test_inputs_that_are_not_square(height, width):
    algorithm = build(algorithm_config()).eval()
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(WEIGHT)
    images, samples = batch(height=height, width=width)
    losses = algorithm.loss(images, samples)
    assert torch.isfinite(losses['loss_cskd'])
