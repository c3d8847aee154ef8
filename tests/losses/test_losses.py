import pytest
import torch
from torch.nn import functional as F

from mmcskd import CSKDLoss, DeiTLoss, FeatureLoss


@pytest.mark.parametrize('loss', [CSKDLoss, DeiTLoss])
@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(mode='firm'), r'\.mode is \'firm\''),
        (dict(temperature=-1.0), r'\.temperature is -1\.0'),
        (dict(temperature=0), r'\.temperature is 0'),
        (dict(temperature='1'), r"\.temperature is '1'"),
        (dict(temperature=float('nan')), r'\.temperature is nan'),
        (dict(loss_weight=-0.5), r'\.loss_weight is -0\.5'),
    ],
)
def test_bad_arguments(loss, arguments, message):
    with pytest.raises((TypeError, ValueError), match=loss.__name__ + message):
        loss(**arguments)


@pytest.mark.parametrize(
    'arguments', [dict(mode='soft', reduction='sum'), dict(reduction='batchmean')]
)
def test_bad_reduction(arguments):
    with pytest.raises(ValueError, match=r"DeiTLoss\.reduction is '.*', expected \"mean\", or"):
        DeiTLoss(**arguments)


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_divergence_of_an_image(temperature):
    """By torch's own word for it."""
    student, teacher = torch.randn(2, 4, 7, dtype=torch.float64).unbind()
    logs = [(each / temperature).log_softmax(1) for each in (student, teacher)]
    expected = F.kl_div(*logs, reduction='batchmean', log_target=True) * temperature**2
    loss = DeiTLoss('soft', temperature, 2.0, 'batchmean')(student, teacher)
    torch.testing.assert_close(loss, 2 * expected)


@pytest.mark.parametrize('arguments', [dict(mode='soft', reduction='sum'), dict(reduction='mean')])
def test_bad_reduction_over_places(arguments):
    with pytest.raises(
        ValueError, match=r"CSKDLoss\.reduction is '.*', expected \"batchmean\", or"
    ):
        CSKDLoss(**arguments)


@pytest.mark.parametrize('temperature', [1.0, 3.0])
def test_mean_over_places(temperature):
    """By torch's own word for it, with places as images."""
    student, spatial = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64).unbind()
    logs = [
        (each / temperature).log_softmax(1).permute(0, 2, 3, 1).flatten(0, 2)
        for each in (student, spatial)
    ]
    expected = F.kl_div(*logs, reduction='batchmean', log_target=True) * temperature**2
    loss = CSKDLoss('soft', temperature, fusion_weight=1.0, reduction='mean')
    torch.testing.assert_close(loss(student, spatial, spatial.mean((2, 3))), expected)


@pytest.mark.parametrize('weight', [-0.1, 1.1, float('nan')])
def test_fusion_weight_out_of_range(weight):
    with pytest.raises(ValueError, match=r'CSKDLoss\.fusion_weight or CKFHook\.schedule'):
        CSKDLoss(fusion_weight=weight)


def test_fusion_weight_not_set():
    response = torch.randn(2, 5, 3, 3)
    with pytest.raises(ValueError, match='mmrazor.CKFHook.*custom_hooks'):
        CSKDLoss()(response, response, response.mean((2, 3)))


def test_ends_of_the_fusion():
    """Weight 1 asks for the response at each place, weight 0 for the global one everywhere."""
    student, spatial = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    whole = torch.randn(2, 5)
    local = F.cross_entropy(student, spatial.argmax(1))
    everywhere = F.cross_entropy(student, whole.argmax(1)[:, None, None].expand(2, 3, 4))
    loss = CSKDLoss(loss_weight=2.0)
    for weight, expected in ((1.0, local), (0.0, everywhere)):
        loss.set_fusion_weight(weight)
        torch.testing.assert_close(loss(student, spatial, whole), 2 * expected)


def test_response_by_grid():
    """A response given as a function is asked for the teacher's grid."""
    student, spatial = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    asked = []

    def respond(grid):
        asked.append(tuple(grid))
        return student

    loss = CSKDLoss(fusion_weight=0.5)
    arguments = spatial, spatial.mean((2, 3))
    assert torch.equal(loss(respond, *arguments), loss(student, *arguments))
    assert asked == [(3, 4)]


@pytest.mark.parametrize('mode', ['hard', 'soft'])
@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
def test_half_precision_fuses_in_float32(mode, kind):
    """2048.5 and 2049, the fused logits of two classes, are one number in half precision."""
    spatial_response = torch.tensor([4096.0, 4096.0]).to(kind).view(1, 2, 1, 1).expand(-1, -1, 1, 2)
    global_response = torch.tensor([1.0, 2.0]).to(kind).view(1, 2)
    student = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(-1, -1, 1, 2)
    loss = CSKDLoss(mode=mode, fusion_weight=0.5)
    found = loss(student.to(kind), spatial_response, global_response)
    target = torch.tensor([2048.5, 2049.0])
    if mode == 'hard':
        expected = F.cross_entropy(student[:, :, 0, 0], target.argmax()[None])
    else:
        expected = 2 * F.kl_div(
            student[0, :, 0, 0].log_softmax(0), target.softmax(0), reduction='sum'
        )  # fmt: skip
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32


@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_other_number_of_classes(mode):
    student, spatial = torch.randn(2, 5, 3, 3), torch.randn(2, 6, 3, 3)
    message = '5 classes and the teacher 6: .*head.num_classes'
    with pytest.raises(ValueError, match='CSKDLoss.*' + message):
        CSKDLoss(mode=mode, fusion_weight=1.0)(student, spatial, spatial.mean((2, 3)))
    with pytest.raises(ValueError, match='DeiTLoss.*' + message):
        DeiTLoss(mode=mode)(student.mean((2, 3)), spatial.mean((2, 3)))


def test_other_grid():
    student, spatial = torch.randn(2, 5, 7, 7), torch.randn(2, 5, 6, 7)
    with pytest.raises(
        ValueError, match=r'\(2, 5, 7, 7\).*\(2, 5, 6, 7\).*PatchTokenConnector\.grid'
    ):
        CSKDLoss(fusion_weight=1.0)(student, spatial, spatial.mean((2, 3)))


def test_only_the_student_learns():
    student, spatial = (torch.randn(2, 5, 3, 3, requires_grad=True) for _ in range(2))
    CSKDLoss(fusion_weight=0.3)(student, spatial, spatial.mean((2, 3))).backward()
    assert student.grad.abs().sum() > 0
    assert spatial.grad is None


@pytest.mark.parametrize('kind', [torch.bfloat16, torch.float16])
def test_soft_in_half_precision_is_computed_in_float32(kind):
    """Student and teacher are close, so the divergence is small beside what rounding takes."""
    student = torch.randn(8, 50)
    teacher = (student + 0.05 * torch.randn(8, 50)).to(kind)
    student = student.to(kind)
    expected = DeiTLoss('soft')(student.float(), teacher.float())
    with torch.autocast('cpu', torch.bfloat16):
        found = DeiTLoss('soft')(student, teacher)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_other_device():
    student, teacher = torch.randn(2, 3), torch.randn(2, 3)
    for mode in ('hard', 'soft'):
        with pytest.raises(
            ValueError, match=r'DeiTLoss: .* on meta and the teacher on cpu: .*model\.tea'
        ):
            DeiTLoss(mode)(student.to('meta'), teacher)
    spatial = torch.randn(2, 3, 2, 2)
    with pytest.raises(ValueError, match='CSKDLoss: the student answers on meta'):
        CSKDLoss(fusion_weight=0.5)(spatial.to('meta'), spatial, teacher)


def test_features_in_parts_of_the_variance():
    """One of a student that says the mean everywhere, whatever the scale of the teacher's map."""
    target = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    student = torch.randn_like(target)
    mean = target.mean().expand_as(target)
    loss = FeatureLoss(loss_weight=2.0)
    assert loss(target, target) == 0
    torch.testing.assert_close(loss(mean, target), torch.tensor(2.0, dtype=torch.float64))
    expected = 2 * (student - target).square().sum() / (target - mean).square().sum()
    torch.testing.assert_close(loss(student, target), expected)
    torch.testing.assert_close(loss(7 * student, 7 * target), expected)


@pytest.mark.parametrize(
    'own, theirs, common',
    [((4, 6), (2, 3), (2, 3)), ((2, 3), (4, 6), (2, 3)), ((6, 2), (3, 4), (3, 2))],
)
def test_features_are_compared_on_the_coarser_grid(own, theirs, common):
    student, teacher = torch.randn(2, 5, *own), torch.randn(2, 5, *theirs)

    class Features:
        grid = own

        def __call__(self, grid):
            assert grid == common
            return F.adaptive_avg_pool2d(student, grid)

    pooled = [F.adaptive_avg_pool2d(each, common) for each in (student, teacher)]
    torch.testing.assert_close(FeatureLoss()(Features(), teacher), FeatureLoss()(*pooled))


def test_bad_features():
    with pytest.raises(ValueError, match=r'FeatureLoss\.loss_weight is -1'):
        FeatureLoss(loss_weight=-1.0)
    message = r'features \(2, 5, 4, 4\) and the teacher \(2, 6, 4, 4\): set .*out_channels to 6'
    with pytest.raises(ValueError, match=message):
        FeatureLoss()(torch.randn(2, 5, 4, 4), torch.randn(2, 6, 8, 8))


def test_a_map_that_is_the_same_everywhere():
    """Of a teacher whose last layer is dead, say: finite, and without a division by zero."""
    loss = FeatureLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    assert loss == 0


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
def test_features_in_half_precision_are_compared_in_float32(kind):
    student, teacher = (300 * torch.randn(2, 5, 3, 3).to(kind) for _ in range(2))
    loss = FeatureLoss()(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, FeatureLoss()(student.float(), teacher.float()))
