"""CSKD between segmentors as MMSegmentation builds and runs them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.structures import PixelData
from mmrazor.models.task_modules.recorder import RecorderManager
from small import algorithm, build, demo, segmentation_batch, steer


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope('mmseg')


def listen(model, **options):
    with DefaultScope.overwrite_default_scope('mmrazor'):
        manager = RecorderManager(dict(response=dict(type='DenseResponse', **options)))
        manager.initialize(model)
    return manager, manager.get_recorder('response')


@pytest.mark.parametrize('name', ['upernet_vit', 'segmenter_vit'])
def test_the_responses_are_the_decode_heads_logits(name):
    model = build(demo(name).model).eval()
    manager, recorder = listen(model)
    images, samples = segmentation_batch()
    expected = model(images, mode='tensor')
    with manager:
        model(images, mode='tensor')  # calls `decode_head.forward`, by which no hook is called
    record = recorder.get_record_data()
    assert torch.equal(record.levels[0][:, 0], expected) and expected.shape[1] == 11
    assert record.patches == (8, 8) and record.strides is None and not record.sigmoid
    with manager:
        model(images, samples, mode='loss')
    assert recorder.get_record_data().levels[0].requires_grad
    assert 'forward' not in model.decode_head.__dict__  # nothing stays behind


@pytest.mark.parametrize('name', ['cskd_upernet_vit_fcn', 'cskd_segmenter_vit_fcn'])
@pytest.mark.parametrize('mode', ['soft', 'hard'])
def test_a_step(name, mode):
    config = algorithm(name)
    config['distiller']['distill_losses']['loss_cskd']['mode'] = mode
    model = build(config)
    steer(model, 0.5)
    losses = model(*segmentation_batch(), mode='loss')
    assert {'decode.loss_ce', 'loss_cskd', 'agreement'} <= set(losses)
    losses['loss_cskd'].backward()
    patches = model.architecture.backbone.patch_embed.projection.weight
    assert patches.grad.abs().sum() > 0
    assert not any('teacher' in name for name in model.state_dict())


HEADS = dict(
    psp=dict(type='PSPHead', in_channels=64, in_index=0, pool_scales=(1, 2)),
    deeplabv3plus=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=64,
        in_index=1,
        dilations=(1, 2),
        c1_in_channels=32,
        c1_channels=16,
    ),
)


@pytest.mark.parametrize('kind', HEADS)
def test_other_cnns_teach(kind):
    """The FCN of the demo with another head."""
    config = algorithm('cskd_segmenter_vit_fcn')
    teacher = config['teacher']
    shared = {key: teacher['decode_head'][key] for key in ('num_classes', 'loss_decode')}
    head = dict(HEADS[kind], channels=32, norm_cfg=dict(type='BN'), **shared)
    teacher['decode_head'] = head
    if kind == 'deeplabv3plus':
        teacher['backbone']['out_indices'] = (0, 1)
    model = build(config)
    assert type(model.teacher.decode_head).__name__ == head['type']
    steer(model, 0.5)
    losses = model(*segmentation_batch(), mode='loss')
    losses['loss_cskd'].backward()
    assert float(losses['loss_cskd'].detach()) > 0
    assert model.architecture.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('whole', ['mean', 'image'])
def test_the_loss_is_what_it_says(whole):
    config = algorithm('cskd_upernet_vit_fcn')
    config['distiller']['distill_losses']['loss_cskd']['global_response'] = whole
    config['architecture']['neck']['scales'] = [2, 1]  # a map finer than the patches
    model = build(config).eval()
    steer(model, 0.3)
    images, samples = segmentation_batch()
    found = model(images, samples, mode='loss')['loss_cskd']
    # Two of eight rows of patches are ignored: six count, of both images. What lies in a patch is
    # averaged as probabilities.
    student, teacher = (part(images, mode='tensor') for part in (model.architecture, model.teacher))
    assert student.shape[2:] == teacher.shape[2:] == (16, 16)
    student, teacher = student[:, :, 4:], teacher[:, :, 4:]
    student = F.adaptive_avg_pool2d(student.softmax(1), (6, 8)).log()
    local = F.adaptive_avg_pool2d(teacher.softmax(1), (6, 8)).log()
    response = teacher if whole == 'mean' else teacher.softmax(1)
    response = response.mean((2, 3), keepdim=True)
    target = 0.3 * local + 0.7 * (response if whole == 'mean' else response.log())
    divergence = F.kl_div(
        student.log_softmax(1), target.log_softmax(1), log_target=True, reduction='sum'
    )
    assert float(found) == pytest.approx(float(divergence) / (2 * 6 * 8), rel=1e-4)


def test_ignored_pixels_do_not_teach():
    model = build(algorithm('cskd_segmenter_vit_fcn')).eval()
    steer(model, 1.0)
    images, samples = segmentation_batch()
    for sample in samples:
        sample.gt_sem_seg.data[:] = 255
    losses = model(images, samples, mode='loss')
    losses['loss_cskd'].backward()
    assert float(losses['loss_cskd']) == 0
    assert not model.architecture.backbone.patch_embed.projection.weight.grad.any()


def test_a_copy_predicts_with_its_own_weights():
    """EMA's copy must not listen to, or answer with, the head it was copied from."""
    model = build(algorithm('cskd_upernet_vit_fcn'))
    steer(model, 1.0)
    images, samples = segmentation_batch()
    model(images, samples, mode='loss')
    twin = copy.deepcopy(model).eval()
    before = twin.architecture(images, mode='tensor')
    with torch.no_grad():
        for parameter in model.architecture.decode_head.parameters():
            parameter.add_(1.0)
    assert torch.equal(twin.architecture(images, mode='tensor'), before)
    assert twin.teacher is model.teacher


def test_classes_of_the_teacher_chosen_for_the_student():
    """A student of three of the teacher's classes, in another order."""
    config = algorithm('cskd_segmenter_vit_fcn')
    config['architecture']['decode_head']['num_classes'] = 3
    steered = copy.deepcopy(config)
    steered['distiller']['teacher_recorders']['response']['classes'] = [4, 0, 7]
    images, samples = segmentation_batch()
    for sample in samples:
        sample.gt_sem_seg.data.clamp_(max=255)
        sample.gt_sem_seg.data[sample.gt_sem_seg.data < 255] %= 3
    model = build(config)
    steer(model, 1.0)
    with pytest.raises(ValueError, match='has 3 classes and the teacher 11.*classes'):
        model(images, samples, mode='loss')
    model = build(steered).eval()
    steer(model, 1.0)
    with model.distiller.teacher_recorders:
        model.teacher(images, mode='tensor')
    record = model.distiller.get_record('response', from_student=False)
    expected = model.teacher(images, mode='tensor')[:, [4, 0, 7]]
    assert torch.allclose(record.levels[0][:, 0], expected, atol=1e-5)
    assert float(model(images, samples, mode='loss')['loss_cskd'].detach()) > 0


def test_what_is_refused():
    model = build(demo('upernet_vit').model)
    with pytest.raises(ValueError, match='"decode_heat" is not a module.*"decode_head"'):
        listen(model, source='decode_heat')
    with pytest.raises(ValueError, match='"neck" is a MultiLevelNeck without classes'):
        listen(model, source='neck')
    manager, _ = listen(model, classes='any')
    with pytest.raises(ValueError, match="classes='any' is for sigmoid heads"), manager:
        model(segmentation_batch()[0], mode='tensor')
    manager, _ = listen(model, classes=[11])
    with pytest.raises(ValueError, match='asks for class 11, but "decode_head" has 11'), manager:
        model(segmentation_batch()[0], mode='tensor')
    manager, _ = listen(model)
    with pytest.raises(ValueError, match='the model did not run "decode_head"'), manager:
        pass
    with pytest.raises(ValueError, match="DenseResponse.classes is 'dog', expected"):
        listen(model, classes='dog')
    with pytest.raises(ValueError, match='DenseResponse.anchors: "some" is none'):
        listen(model, anchors='some')


def test_labels_of_another_size_are_refused():
    model = build(algorithm('cskd_segmenter_vit_fcn'))
    steer(model, 1.0)
    images, samples = segmentation_batch()
    samples[0].gt_sem_seg = PixelData(data=samples[0].gt_sem_seg.data[:, :32])
    with pytest.raises(ValueError, match=r'label map is \(32, 64\) and its image \(64, 64\)'):
        model(images, samples, mode='loss')
    recorders = model.distiller.student_recorders
    with pytest.raises(ValueError, match='IgnoredRegion needs the annotations'), recorders:
        model.architecture(images, mode='tensor')


def test_a_teacher_that_wants_other_channels():
    """MMSegmentation's preprocessor says it by a name of its own."""
    config = algorithm('cskd_segmenter_vit_fcn')
    kind = dict(type='SegDataPreProcessor', _scope_='mmseg', mean=[32.0] * 3, std=[64.0] * 3)
    config['teacher']['data_preprocessor'] = dict(**kind, bgr_to_rgb=True)
    config['data_preprocessor'] = kind
    model = build(config).eval()
    images, _ = segmentation_batch()
    own = model.teacher.decode_head(model.teacher.extract_feat(images.flip(1)))
    assert torch.allclose(model.teacher(images, mode='tensor'), own, atol=1e-4)
