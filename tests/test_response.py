"""What a loss is told of a teacher, and what it refuses."""

import pytest
import torch

from mmcskd import CSKDLoss, DeiTLoss, method
from mmcskd.response import TeacherResponse, TensorResponse, as_response


def test_two_tensors_answer():
    spatial_response, global_response = torch.randn(2, 5, 6, 4), torch.randn(2, 5)
    teacher = TensorResponse(spatial_response, global_response)
    assert (teacher.num_images, teacher.num_classes, teacher.grid) == (2, 5, (6, 4))
    fused = method.fuse(spatial_response, global_response, 0.3)
    assert torch.equal(teacher.fused_target(0.3), fused)
    assert torch.equal(teacher.fused_classes(0.3), fused.argmax(1))
    assert torch.equal(teacher.global_classes(), global_response.argmax(1))
    pooled = spatial_response.unflatten(2, (3, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(
        teacher.on((3, 2)).fused_target(0.3), method.fuse(pooled, global_response, 0.3)
    )
    assert teacher.on((6, 4)).grid == (6, 4)


class Oracle(TeacherResponse):
    """Knows every class, and has neither d nor g."""

    num_images, num_classes, grid, device = 2, 3, (2, 2), torch.device('cpu')

    def on(self, grid):
        assert grid == (2, 2)
        return self

    def fused_classes(self, fusion_weight):
        return torch.full((2, 2, 2), 1 if fusion_weight > 0.5 else 2)

    def fused_target(self, fusion_weight, temperature):
        one_hot = torch.nn.functional.one_hot(self.fused_classes(fusion_weight), 3)
        return temperature * one_hot.movedim(-1, 1).float()

    def global_classes(self):
        return torch.tensor([0, 2])

    def global_target(self, temperature):
        return temperature * torch.eye(3)[[0, 2]]


def test_losses_ask_whoever_answers():
    """Losses know no teacher's class: another one's answers are all they use."""
    student, logits = torch.randn(2, 3, 2, 2), torch.randn(2, 3)
    oracle = Oracle()
    for weight, label in ((0.9, 1), (0.1, 2)):
        loss = CSKDLoss(fusion_weight=weight)
        labels = torch.full((2, 2, 2), label)
        expected = torch.nn.functional.cross_entropy(student, labels)
        torch.testing.assert_close(loss(student, oracle, oracle), expected)
        assert loss.agreement == (student.argmax(1) == labels).float().mean()
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    torch.testing.assert_close(DeiTLoss(loss_weight=1.0)(logits, oracle), expected)
    # At temperature 2 the logits that it gives are twice those at 1: the same distribution.
    expected = method.soft_loss(student, oracle.fused_target(0.9, 1.0)) * 4
    sharp = CSKDLoss('soft', temperature=2.0, fusion_weight=0.9)
    torch.testing.assert_close(sharp(2 * student, oracle, oracle), expected)
    expected = method.soft_deit_loss(logits, oracle.global_target(1.0)) * 4
    torch.testing.assert_close(DeiTLoss('soft', 2.0, 1.0)(2 * logits, oracle), expected)


@pytest.mark.parametrize(
    'spatial_response, global_response, error, message',
    [
        (None, torch.zeros(2), TypeError, r'global response is a tensor \(2,\), expected .* 2 dim'),
        (torch.zeros(2, 5), torch.zeros(2, 5), TypeError, r'spatial .* \(2, 5\), .* data_idx'),
        ('d', torch.zeros(2, 5), TypeError, 'spatial response is a str'),
        (torch.zeros(2, 5, 3, 3), torch.zeros(2, 6), ValueError, r'\(2, 5, 3, 3\) .* \(2, 6\)'),
        (torch.zeros(2, 5, 3, 3), torch.zeros(3, 5), ValueError, r'\(2, 5, 3, 3\) .* \(3, 5\)'),
    ],
)
def test_what_is_no_answer(spatial_response, global_response, error, message):
    with pytest.raises(error, match=f'SomeLoss: .*{message}'):
        as_response('SomeLoss', spatial_response, global_response)
