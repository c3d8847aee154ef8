"""The teacher sees the same augmented batch as the student, in its own way."""

import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from models import NUM_CLASSES, algorithm_config, build, student_config, teacher_config
from torch.nn import functional as F

from mmcskd.teacher.teacher_view import TeacherView

OURS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
OTHER = dict(mean=[127.0, 120.0, 110.0], std=[50.0, 60.0, 70.0], to_rgb=False)


def raw_batch(size=32):
    images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i % NUM_CLASSES) for i in range(4)]
    return dict(inputs=images, data_samples=samples)


def algorithm(teacher=None, **parts):
    config = algorithm_config(
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', **OURS),
        teacher=teacher_config(**(teacher or {})),
        **parts,
    )
    return build(config)


def seen_by_teacher(model, data):
    """The batch that arrives in the teacher's backbone."""
    seen = []
    handle = model.teacher.backbone.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model.distiller.distill_losses['loss_cskd'].set_fusion_weight(0.5)
    inputs = model.data_preprocessor(data, True)
    model(**inputs, mode='loss')
    handle.remove()
    return seen[-1], inputs['inputs']


@pytest.mark.parametrize('from_config', [True, False])
def test_own_normalisation_and_channel_order(from_config):
    """As if the raw batch had gone through the teacher's own preprocessor."""
    if from_config:
        model = algorithm(teacher_view=OTHER)
    else:  # a teacher from a stock config brings its preprocessor along
        model = algorithm(teacher=dict(data_preprocessor=dict(num_classes=NUM_CLASSES, **OTHER)))
    data = raw_batch()
    expected = ClsDataPreprocessor(**OTHER)(data)['inputs']
    seen, student = seen_by_teacher(model, data)
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(student, ClsDataPreprocessor(**OURS)(data)['inputs'])


def test_after_mixup():
    """The mixed batch is the mixture of the images under the teacher's normalisation."""
    model = algorithm(teacher_view=OTHER)
    data = raw_batch()
    inputs = model.data_preprocessor(data)['inputs']
    theirs = ClsDataPreprocessor(**OTHER)(data)['inputs']
    mixed, order = 0.3 * inputs + 0.7 * inputs[[2, 0, 3, 1]], [2, 0, 3, 1]
    seen = []
    model.teacher.backbone.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model.teacher(mixed)
    torch.testing.assert_close(seen[0], 0.3 * theirs + 0.7 * theirs[order], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('view', [None, OURS, dict(mean=OURS['mean'])])
def test_equal_views_cost_nothing(view):
    """The teacher is given the student's own numbers, and no hook stands in between."""
    model = algorithm(teacher_view=view)
    assert not model.teacher._forward_pre_hooks
    seen, student = seen_by_teacher(model, raw_batch())
    assert torch.equal(seen, student)


def test_own_resolution():
    model = algorithm(teacher_view=dict(size=(48, 64)))
    seen, student = seen_by_teacher(model, raw_batch())
    assert seen.shape == (4, 3, 48, 64)
    expected = F.interpolate(student, (48, 64), mode='bicubic', align_corners=False, antialias=True)
    torch.testing.assert_close(seen, expected)
    # The student's 8 × 8 tokens are pooled to the teacher's 6 × 8 grid, and learn.
    losses = model(**model.data_preprocessor(raw_batch(), True), mode='loss')
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    assert model.student.head.layers.head_dist.weight.grad.abs().sum() > 0


def test_view_of_a_student_that_is_not_normalised():
    model = build(
        algorithm_config(
            architecture=student_config(), teacher_view=dict(mean=[0.0] * 3, std=[255.0] * 3)
        )
    )
    seen, student = seen_by_teacher(model, raw_batch())
    torch.testing.assert_close(seen, student / 255)


@pytest.mark.parametrize(
    'view, message',
    [
        (dict(mean=[1.0, 2.0]), r'teacher_view\.mean needs one number a channel'),
        (dict(std=0.5), r'teacher_view\.std needs one number a channel'),
        (dict(std=[1.0, 0.0, 1.0]), r'teacher_view\.std is .*> 0'),
        (dict(to_rgb='yes'), r"teacher_view\.to_rgb is 'yes'"),
        (dict(mean=[1.0, float('nan'), 1.0]), r'teacher_view\.mean is .*finite'),
        (dict(size=(1, 2, 3)), r'teacher_view\.size is \(1, 2, 3\)'),
        (dict(size=0), r'teacher_view\.size is 0'),
        (dict(size=10**9), r'teacher_view\.size is 1000000000, expected at most 8192'),
        (dict(resize=224), r'teacher_view has no key "resize"'),
    ],
)
def test_bad_view(view, message):
    with pytest.raises(ValueError, match=message):
        algorithm(teacher_view=view)


FOUR = dict(mean=[1.0, 2.0, 3.0, 4.0], std=[5.0, 6.0, 7.0, 8.0])


def four_channels(student=4, teacher=4, own=None, view=None, numbers=FOUR):
    """An algorithm for images of four channels."""
    config = algorithm_config(
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', **numbers), teacher_view=view
    )
    config['architecture']['backbone']['in_channels'] = student
    config['teacher']['backbone']['in_channels'] = teacher
    if own is not None:
        config['teacher']['data_preprocessor'] = dict(num_classes=NUM_CLASSES, **own)
    return build(config)


def test_four_channels():
    """As three: their order is none, whatever the two say of RGB."""
    view = dict(mean=[0.0] * 4, std=[10.0] * 4, to_rgb=True)
    model = four_channels(view=view)
    data = dict(raw_batch(), inputs=torch.randint(0, 256, (4, 4, 32, 32), dtype=torch.uint8))
    seen, _ = seen_by_teacher(model, data)
    torch.testing.assert_close(seen, data['inputs'] / 10, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'given, message',
    [
        (dict(view=dict(mean=[0.0] * 3)), r'^model\.teacher_view\.mean needs .*: 4 by data_prep'),
        (dict(view=dict(std=[1.0] * 3)), r'^model\.teacher_view\.std needs .*: 4 by data_prep'),
        (dict(own=OURS), r'^model\.teacher\.data_preprocessor\.mean needs .*: 4 by data_prep'),
        (dict(student=3), r'4 numbers.*model\.architecture takes .* 3: set model\.architecture\.b'),
        (dict(numbers=OURS), r'mean has 3 numbers.*model\.architecture takes .* 4: set model'),
        (dict(teacher=3), r'4 numbers.*model\.teacher takes .* 3: set model\.teacher\.backbone'),
    ],
)
def test_other_channels_are_named_by_a_key_that_is_set(given, message):
    with pytest.raises(ValueError, match=message):
        four_channels(**given)


def test_channels_of_images_that_are_not_normalised():
    """The student says nothing of them; the teacher's first convolution does."""
    with pytest.raises(ValueError, match=r'teacher_view\.mean needs .*: 3 by model\.teacher'):
        build(algorithm_config(teacher_view=dict(mean=[7, 7])))


def test_numbers_are_moved_once():
    view = TeacherView(([1.0], [2.0], False), ([0.0], [1.0], False))
    for _ in range(2):
        assert view(torch.ones(1, 3, 2, 2, device='meta')).device.type == 'meta'
        assert view.scale.device.type == view.shift.device.type == 'meta'


def timm_algorithm(name, preprocessor=OURS, **parts):
    pytest.importorskip('timm')
    return build(
        algorithm_config(
            data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', **preprocessor),
            teacher=name,
            **parts,
        )
    )


LITE = 'tf_efficientnet_lite0'  # mean and standard deviation 0.5, of images in 0 to 1
WRAPPED = dict(
    _scope_='mmpretrain', type='TimmClassifier', model_name=LITE, num_classes=NUM_CLASSES
)
AS_BACKBONE = teacher_config(
    backbone=dict(type='TIMMBackbone', model_name=LITE),
    head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=1280),
)


@pytest.mark.parametrize('teacher', [WRAPPED, AS_BACKBONE])
@pytest.mark.parametrize(
    'view, expected', [(None, (1, 1, 1)), (dict(mean=[0.0, 255.0, 255.0]), (2, 0, 0))]
)
def test_timm_says_how_it_wants_its_images(teacher, view, expected):
    """White, as it arrives; what teacher_view says wins."""
    model = timm_algorithm(teacher, teacher_view=view)
    white = model.data_preprocessor(dict(inputs=torch.full((2, 3, 40, 40), 255.0)))['inputs']
    (first, *_) = (m for m in model.teacher.modules() if isinstance(m, torch.nn.Conv2d))
    seen = []
    first.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    with torch.no_grad():
        model.teacher(white, mode='tensor')
    pixel = seen[0][0, :, 20, 20]
    torch.testing.assert_close(pixel, torch.tensor(expected, dtype=torch.float32))
