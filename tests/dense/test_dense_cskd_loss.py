"""The loss between dense responses: CSKDLoss where both apply, ignored pixels, levels, sigmoids."""

import pytest
import torch
import torch.nn.functional as F

from mmcskd import CSKDLoss, DenseCSKDLoss
from mmcskd.dense.dense_response_recorder import DenseResponses


def responses(*levels, strides=None, sigmoid=False, patches=None):
    """(N, C, H, W) each, as of one anchor."""
    levels = tuple(level if level.dim() == 5 else level[:, None] for level in levels)
    if strides is not None:
        strides = tuple((stride, stride) for stride in strides)
    return DenseResponses(levels, strides, sigmoid, patches)


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float32)


@pytest.mark.parametrize('grids', [(6, 6), (12, 6), (6, 12), (5, 7)])
@pytest.mark.parametrize('weight', [0.0, 0.3, 1.0])
def test_one_level_of_softmax_is_cskd(grids, weight):
    student, teacher = maps(2, 5, grids[0], grids[0]), maps(2, 5, grids[1], grids[1])
    dense = DenseCSKDLoss(mode='hard', fusion_weight=weight)
    found = dense(responses(student), responses(teacher))
    side = min(grids)
    student, local = (F.adaptive_avg_pool2d(each, side) for each in (student, teacher))
    for mode, times in (('hard', 1), ('soft', side**2)):
        stock = CSKDLoss(mode=mode, fusion_weight=weight, temperature=1)
        expected = stock(student, local, teacher.mean((2, 3)))
        if mode == 'soft':
            dense = DenseCSKDLoss(mode='soft', fusion_weight=weight)
            found = dense(responses(student), responses(teacher)) * times
            expected = CSKDLoss(mode='soft', fusion_weight=weight)(
                student, F.adaptive_avg_pool2d(teacher, side), teacher.mean((2, 3))
            )
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
        assert float(dense.agreement) == pytest.approx(float(stock.agreement))


@pytest.mark.parametrize('mode', ['hard', 'soft'])
@pytest.mark.parametrize('sigmoid', [False, True])
def test_what_is_ignored_counts_nowhere(mode, sigmoid):
    student, teacher = maps(2, 5, 8, 8), maps(2, 5, 16, 16)
    ignored = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    ignored[0, :, :32] = True  # rows 0 … 3 of the student's, 0 … 7 of the teacher's
    ignored[1, :, :, 60:] = True  # half of a student's cell, the last of the teacher's
    loss = DenseCSKDLoss(mode=mode, fusion_weight=0.5)

    def value(student, teacher):
        pair = (responses(side, sigmoid=sigmoid) for side in (student, teacher))
        return float(loss(*pair, ignored=ignored))

    before = value(student, teacher)
    other_student, other_teacher = student.clone(), teacher.clone()
    other_student[0, :, :4] += 7 * maps(5, 4, 8)
    other_teacher[0, :, :8] += 7 * maps(5, 8, 16)
    other_teacher[1, :, :, 15] += 7 * maps(5, 16)
    assert value(other_student, other_teacher) == pytest.approx(before, rel=1e-5)
    other_teacher[1, :, :, 14] += 7 * maps(5, 16)
    assert value(other_student, other_teacher) != pytest.approx(before, rel=1e-3)
    # The same, by hand: the first image's lower half and all of the second.
    if mode == 'hard' and not sigmoid:
        kept = teacher[1:, :, :, :15]
        local = F.adaptive_avg_pool2d(teacher[1:], 8)
        local[..., 7] = (kept[..., 14].unflatten(2, (8, 2))).mean(3)
        targets = [
            (torch.lerp(whole[..., None, None].expand_as(part), part, 0.5)).argmax(1).flatten()
            for part, whole in (
                (
                    F.adaptive_avg_pool2d(teacher[:1, :, 8:], (4, 8)),
                    teacher[:1, :, 8:].mean((2, 3)),
                ),
                (local, kept.mean((2, 3))),
            )
        ]
        rows = [
            student[:1, :, 4:].movedim(1, -1).reshape(-1, 5),
            student[1:].movedim(1, -1).reshape(-1, 5),
        ]
        expected = F.cross_entropy(torch.cat(rows), torch.cat(targets))
        assert before == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_of_which_nothing_counts_has_no_loss_and_no_gradient():
    student = maps(1, 5, 4, 4).requires_grad_()
    loss = DenseCSKDLoss(fusion_weight=1.0)
    everything = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    value = loss(responses(student), responses(maps(1, 5, 4, 4)), ignored=everything)
    value.backward()
    assert float(value) == 0 and not student.grad.any()


@pytest.mark.parametrize('temperature', [1.0, 2.0])
def test_sigmoids_have_the_binary_form(temperature):
    student, teacher = 3 * maps(2, 4, 6, 6), 3 * maps(2, 4, 6, 6)
    pair = responses(student, sigmoid=True), responses(teacher, sigmoid=True)
    soft = DenseCSKDLoss(mode='soft', temperature=temperature, fusion_weight=0.8)
    target = 0.8 * teacher + 0.2 * teacher.mean((2, 3), keepdim=True)
    p, q = (target / temperature).sigmoid().double(), (student / temperature).sigmoid().double()
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    expected = divergence.sum() * temperature**2 / target.sigmoid().amax(1).sum()
    assert float(soft(*pair)) == pytest.approx(float(expected), rel=1e-4)

    hard = DenseCSKDLoss(mode='hard', fusion_weight=0.8)
    decided = (target > 0).float()
    total = F.binary_cross_entropy_with_logits(student, decided, reduction='sum')
    assert float(hard(*pair)) == pytest.approx(float(total / decided.amax(1).sum()), rel=1e-5)
    shared = ((student > 0) & (target > 0)).sum() / (target > 0).sum()
    assert float(hard.agreement) == pytest.approx(float(shared))


def test_the_binary_form_is_zero_where_both_agree_and_holds_for_sure_answers():
    sure = torch.tensor([-80.0, 80.0]).repeat(2, 3, 4, 2)
    loss = DenseCSKDLoss(fusion_weight=1.0)
    same = responses(sure, sigmoid=True)
    assert float(loss(same, same)) == pytest.approx(0, abs=1e-6)
    student = (-sure).requires_grad_()
    loss(responses(student, sigmoid=True), same).backward()
    assert torch.isfinite(student.grad).all() and student.grad.abs().sum() > 0


def test_levels_meet_by_stride_and_each_has_its_own_global_response():
    fine, middle, coarse = maps(2, 3, 8, 8), maps(2, 3, 4, 4), maps(2, 3, 2, 2)
    students = maps(2, 3, 4, 4), maps(2, 3, 2, 2), maps(2, 3, 1, 1)
    loss = DenseCSKDLoss(mode='hard', fusion_weight=0.0)
    found = loss(
        responses(*students, strides=(16, 32, 64)),
        responses(fine, middle, coarse, strides=(8, 16, 32)),
    )
    # At λ = 0 every location of a level has the class of that level's mean.
    expected = 0
    for student, teacher in zip(students, (middle, coarse)):
        classes = teacher.mean((2, 3)).argmax(1)[:, None, None].expand(-1, *student.shape[2:])
        expected += F.cross_entropy(student, classes, reduction='sum')
    assert float(found) == pytest.approx(float(expected) / (2 * (16 + 4)), rel=1e-5)


def test_the_image_as_the_global_response():
    teacher = 4 * maps(1, 3, 4, 4)
    loss = DenseCSKDLoss(mode='hard', fusion_weight=0.0, global_response='image')
    student = maps(1, 3, 4, 4)
    for sigmoid in (False, True):
        share = (teacher.sigmoid() if sigmoid else teacher.softmax(1)).mean((2, 3))
        found = loss._global_response(teacher[:, None], None, sigmoid)[:, 0]
        back = found.sigmoid() if sigmoid else found.exp()
        assert torch.allclose(back, share, atol=1e-5)
    found = loss(responses(student), responses(teacher))
    classes = teacher.softmax(1).mean((2, 3)).argmax(1)[:, None, None].expand(1, 4, 4)
    assert float(found) == pytest.approx(float(F.cross_entropy(student, classes)), rel=1e-5)


@pytest.mark.parametrize('sigmoid', [False, True])
def test_probabilities_pooled_teach_as_their_locations_do(sigmoid):
    """The cross entropy with a mean of answers is the mean of those with each."""
    student, teacher = maps(2, 3, 2, 2).requires_grad_(), 2 * maps(2, 3, 4, 4)
    loss = DenseCSKDLoss(fusion_weight=1.0, pooling='probabilities')
    pair = (responses(side, sigmoid=sigmoid) for side in (student, teacher))
    (found,) = torch.autograd.grad(loss(*pair), student)
    near = F.interpolate(student, scale_factor=2)  # each cell meets its four locations
    if sigmoid:
        each = F.binary_cross_entropy_with_logits(near, teacher.sigmoid(), reduction='sum') / 4
        each = each / F.avg_pool2d(teacher.sigmoid(), 2).amax(1).sum()
    else:
        each = F.cross_entropy(near, teacher.softmax(1))
    (expected,) = torch.autograd.grad(each, student)
    assert torch.allclose(found, expected, atol=1e-5)
    # A student of the finer grid is pooled the same way.
    pooled = F.avg_pool2d(teacher.sigmoid() if sigmoid else teacher.softmax(1), 2)
    coarse = pooled.logit() if sigmoid else pooled.log()
    pair = (responses(side, sigmoid=sigmoid) for side in (teacher, coarse))
    assert float(loss(*pair)) == pytest.approx(0, abs=1e-5)


def test_what_is_ignored_is_not_pooled_with_the_rest():
    teacher = 2 * maps(1, 3, 4, 4)
    ignored = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    ignored[..., :2, 0] = True
    loss = DenseCSKDLoss(fusion_weight=1.0, pooling='probabilities')
    share = teacher.softmax(1)[..., :2, 1].mean(-1)  # the two that are left of the first cell
    pooled = F.avg_pool2d(teacher.softmax(1), 2)
    pooled[..., 0, 0] = share
    found = loss(responses(pooled.log()), responses(teacher), ignored=ignored)
    assert float(found) == pytest.approx(0, abs=1e-5)


def test_anchors_are_compared_one_by_one():
    student, teacher = maps(2, 3, 4, 5, 5), maps(2, 3, 4, 5, 5)
    loss = DenseCSKDLoss(mode='soft', fusion_weight=0.6)
    found = loss(responses(student), responses(teacher))
    each = [loss(responses(student[:, a]), responses(teacher[:, a])) for a in range(3)]
    assert float(found) == pytest.approx(float(sum(each)) / 3, rel=1e-5)


def test_the_grid_of_the_patches():
    student, teacher = maps(1, 3, 16, 16), maps(1, 3, 8, 8)
    loss = DenseCSKDLoss(mode='hard', fusion_weight=1.0, grid='patches')
    found = loss(responses(student, patches=(4, 4)), responses(teacher))
    pooled = [F.adaptive_avg_pool2d(each, 4) for each in (student, teacher)]
    expected = F.cross_entropy(pooled[0], pooled[1].argmax(1))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match='this student has none: take "coarser"'):
        loss(responses(student), responses(teacher))


def test_records_of_inference_mode_serve():
    student = maps(2, 3, 4, 4).requires_grad_()
    with torch.inference_mode():
        teacher = responses(maps(2, 3, 4, 4), sigmoid=True)
    for mode in ('hard', 'soft'):
        loss = DenseCSKDLoss(mode=mode, fusion_weight=0.5)
        loss(responses(student, sigmoid=True), teacher).backward()
    assert student.grad.abs().sum() > 0


def test_half_precision_is_compared_in_single():
    student, teacher = maps(1, 3, 4, 4).bfloat16(), maps(1, 3, 4, 4).bfloat16()
    loss = DenseCSKDLoss(fusion_weight=0.5)
    half = loss(responses(student), responses(teacher))
    assert half.dtype == torch.float32
    assert float(half) == float(loss(responses(student.float()), responses(teacher.float())))


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        (
            responses(maps(1, 3, 4, 4)),
            responses(maps(1, 5, 4, 4)),
            'has 3 classes and the teacher 5',
        ),
        (
            responses(maps(1, 9, 3, 4, 4)),
            responses(maps(1, 1, 3, 4, 4)),
            '9 anchors at a location and the teacher 1: set anchors="max"',
        ),
        (
            responses(maps(1, 3, 4, 4), strides=(8,)),
            responses(maps(1, 3, 2, 2), strides=(16,)),
            r'student \(stride 8: 4×4\) has the stride of one of the teacher \(stride 16: 2×2\)',
        ),
        (
            responses(maps(1, 3, 4, 4), maps(1, 3, 2, 2)),
            responses(maps(1, 3, 4, 4)),
            'has 2 levels and the teacher 1',
        ),
        (
            responses(maps(1, 3, 4, 4)),
            responses(maps(1, 3, 4, 4), sigmoid=True),
            "head has a softmax over classes, the teacher's a sigmoid for each class",
        ),
        (maps(1, 3, 4, 4), responses(maps(1, 3, 4, 4)), 'got a Tensor of the student'),
    ],
)
def test_what_cannot_be_compared_is_refused(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        DenseCSKDLoss(fusion_weight=1.0)(student, teacher)


def test_unknown_arguments():
    with pytest.raises(ValueError, match='DenseCSKDLoss.grid: "patch" is none'):
        DenseCSKDLoss(grid='patch')
    with pytest.raises(ValueError, match='global_response: "max" is none'):
        DenseCSKDLoss(global_response='max')
    with pytest.raises(ValueError, match='pooling: "probability" is none.*"probabilities"'):
        DenseCSKDLoss(pooling='probability')
    with pytest.raises(ValueError, match='no fusion weight'):
        DenseCSKDLoss()(responses(maps(1, 3, 4, 4)), responses(maps(1, 3, 4, 4)))
