"""CSKD between detectors as MMDetection builds and runs them, and what they need of a ViT."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmrazor.models.task_modules.recorder import RecorderManager
from small import algorithm, build, demo, detection_batch, steer


@pytest.fixture(autouse=True)
def mmdet_scope():
    init_default_scope('mmdet')


def listen(model, **options):
    with DefaultScope.overwrite_default_scope('mmrazor'):
        manager = RecorderManager(dict(response=dict(type='DenseResponse', **options)))
        manager.initialize(model)
    return manager, manager.get_recorder('response')


def rpn_config(**parts):
    """The first stage of a Faster R-CNN on the demo's CNN, with anchors as Mask R-CNN's."""
    shared = demo('retinanet_digits')
    config = dict(
        _scope_='mmdet',
        type='RPN',
        backbone=shared.teacher.backbone.to_dict(),
        neck=dict(type='FPN', in_channels=[64, 128], out_channels=32, num_outs=2),
        rpn_head=dict(
            type='RPNHead',
            in_channels=32,
            feat_channels=32,
            anchor_generator=dict(
                type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[8, 16]
            ),
            bbox_coder=shared.retinanet.bbox_head.bbox_coder.to_dict(),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
            loss_bbox=dict(type='L1Loss'),
        ),
        train_cfg=dict(rpn=shared.retinanet.train_cfg.to_dict()),
        test_cfg=dict(rpn=shared.retinanet.test_cfg.to_dict()),
    )
    config.update(parts)
    return config


def fcos_config():
    config = demo('retinanet_digits').teacher.to_dict()
    config.update(
        type='FCOS',
        bbox_head=dict(
            type='FCOSHead',
            num_classes=10,
            in_channels=48,
            stacked_convs=1,
            feat_channels=32,
            strides=[8, 16],
            regress_ranges=((-1, 32), (32, 1e8)),
            norm_cfg=dict(type='BN'),
        ),
    )
    config.pop('train_cfg')
    return config


def test_the_responses_are_the_classification_maps_of_each_level():
    model = build(demo('retinanet_vit').model).eval()
    manager, recorder = listen(model)
    images, samples = detection_batch()
    scores, _ = model(images, mode='tensor')
    with manager:
        model(images, mode='tensor')
    record = recorder.get_record_data()
    assert record.strides == ((8, 8), (16, 16)) and record.sigmoid
    for level, score in zip(record.levels, scores):
        assert level.shape[1:3] == (4, 10)
        assert torch.equal(level.flatten(1, 2), score)
    with manager:
        model(images, samples, mode='loss')
    assert recorder.get_record_data().levels[1].requires_grad


@pytest.mark.parametrize('mode', ['soft', 'hard'])
def test_retinanet_teaches_retinanet(mode):
    config = algorithm('cskd_retinanet_vit_resnet18')
    config['distiller']['distill_losses']['loss_cskd']['mode'] = mode
    model = build(config)
    steer(model, 0.9)
    losses = model(*detection_batch(), mode='loss')
    assert {'loss_cls', 'loss_bbox', 'loss_cskd', 'agreement'} <= set(losses)
    losses['loss_cskd'].backward()
    assert model.architecture.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


def test_the_loss_is_what_it_says():
    model = build(algorithm('cskd_retinanet_vit_resnet18')).eval()
    steer(model, 0.7)
    images, samples = detection_batch()
    found = model(images, samples, mode='loss')['loss_cskd']
    # Ignored: a crowd of 16 × 16 pixels at (32, 0), and 16 pixels around the second image.
    counts = torch.ones(2, 1, 64, 64)
    counts[:, :, :16, 32:48] = 0
    counts[1, :, 48:], counts[1, :, :, 48:] = 0, 0
    total = positives = 0
    for student, teacher in zip(
        model.architecture(images, mode='tensor')[0], model.teacher(images, mode='tensor')[0]
    ):
        kept = F.avg_pool2d(counts, 64 // student.shape[2])
        assert set(kept.unique().tolist()) == {0.0, 1.0}
        whole = (teacher * kept).sum((2, 3), keepdim=True) / kept.sum((2, 3), keepdim=True)
        target = 0.7 * teacher + 0.3 * whole
        p, q = target.sigmoid().double(), student.sigmoid().double()
        divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        total += float((divergence * kept).sum())
        positives += float((p.unflatten(1, (4, 10)).amax(2) * kept).sum())
    assert float(found) == pytest.approx(total / max(positives, 1), rel=1e-3)


def test_fcos_teaches_retinanet_by_location():
    config = algorithm('cskd_retinanet_vit_resnet18', teacher=fcos_config())
    plain = build(copy.deepcopy(config))
    steer(plain, 1.0)
    with pytest.raises(ValueError, match='4 anchors at a location and the teacher 1'):
        plain(*detection_batch(), mode='loss')
    for side in ('teacher_recorders', 'student_recorders'):
        config['distiller'][side]['response']['anchors'] = 'max'
    model = build(config)
    steer(model, 1.0)
    images, samples = detection_batch()
    model(images, samples, mode='loss')['loss_cskd'].backward()
    assert model.architecture.bbox_head.retina_cls.weight.grad.abs().sum() > 0
    manager, recorder = listen(model.architecture, anchors='max')
    scores, _ = model.architecture(images, mode='tensor')
    with manager:
        model.architecture(images, mode='tensor')
    expected = scores[0].unflatten(1, (4, 10)).amax(1)
    assert torch.equal(recorder.get_record_data().levels[0][:, 0], expected)


def test_an_rpn_teaches_mask_rcnns():
    model = build(algorithm('cskd_mask-rcnn_vit_rpn-resnet18'))
    steer(model, 0.9)
    losses = model(*detection_batch(masks=True), mode='loss')
    assert {'loss_rpn_cls', 'loss_mask', 'loss_cskd'} <= set(losses)
    losses['loss_cskd'].backward()
    assert model.architecture.rpn_head.rpn_cls.weight.grad.abs().sum() > 0
    assert model.architecture.roi_head.bbox_head.fc_cls.weight.grad is None


def test_an_rpn_teaches_retinanet_where_an_object_is():
    config = algorithm('cskd_retinanet_vit_resnet18', teacher=rpn_config())
    for side in ('teacher_recorders', 'student_recorders'):
        config['distiller'][side]['response'].update(anchors='max', classes='any')
    model = build(config)
    steer(model, 1.0)
    model(*detection_batch(), mode='loss')['loss_cskd'].backward()
    assert model.architecture.bbox_head.retina_cls.weight.grad.abs().sum() > 0


def test_a_two_stage_teacher_is_told_to_be_its_rpn():
    config = algorithm('cskd_retinanet_vit_resnet18')
    config['teacher'] = demo('mask-rcnn_vit').model.to_dict()
    model = build(config)
    steer(model, 1.0)
    with pytest.raises(ValueError, match='model.teacher.type="RPN" without roi_head'):
        model(*detection_batch(), mode='loss')


def test_the_rpn_takes_the_weights_of_a_two_stage_detector(tmp_path):
    """Under the names they have there."""
    rpn = build(rpn_config())
    state = {k.replace('bbox_head.', 'rpn_head.'): v for k, v in rpn.state_dict().items()}
    state['roi_head.bbox_head.fc_cls.weight'] = torch.zeros(11, 128)
    torch.save(dict(state_dict=state), tmp_path / 'faster.pth')
    config = algorithm('cskd_retinanet_vit_resnet18', teacher=rpn_config())
    config.update(teacher_ckpt=str(tmp_path / 'faster.pth'), random_teacher=False)
    teacher = build(config).teacher
    for name, value in rpn.state_dict().items():
        assert torch.equal(teacher.state_dict()[name], value), name


def test_no_stride_in_common():
    config = algorithm('cskd_retinanet_vit_resnet18')
    teacher = config['teacher']
    teacher['backbone'].update(num_stages=1, strides=(4,), dilations=(1,), out_indices=(0,))
    teacher['neck'].update(in_channels=[32], num_outs=2)
    teacher['bbox_head']['anchor_generator']['strides'] = [32, 64]
    model = build(config)
    steer(model, 1.0)
    with pytest.raises(ValueError, match='no level of the student .stride 8: 8×8, stride 16: 4×4'):
        model(*detection_batch(), mode='loss')


def test_the_pyramid_of_a_plain_vit():
    model = build(demo('mask-rcnn_vit').model)
    images, _ = detection_batch()
    levels = model.extract_feat(images)
    assert [tuple(level.shape[1:]) for level in levels] == [(32, side, side) for side in (16, 8, 4)]
    sum(level.sum() for level in levels).backward()
    assert all(p.grad is not None for p in model.neck.parameters())
    with pytest.raises(ValueError, match=r'scales is \(3,\), expected any of'):
        build(dict(type='mmrazor.SimpleFeaturePyramid', in_channels=8, scales=(3,)))
    with pytest.raises(ValueError, match='num_outs is 1 for 4 scales'):
        build(dict(type='mmrazor.SimpleFeaturePyramid', in_channels=8, num_outs=1))


def test_boxes_and_padding_that_do_not_count():
    images, samples = detection_batch()
    with DefaultScope.overwrite_default_scope('mmrazor'):
        manager = RecorderManager(dict(ignored=dict(type='IgnoredRegion')))
    model = build(demo('retinanet_vit').model)
    manager.initialize(model)
    with manager:
        model(images, samples, mode='loss')
    ignored = manager.get_recorder('ignored').get_record_data()
    expected = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    expected[:, :, :16, 32:48] = True
    expected[1, :, 48:], expected[1, :, :, 48:] = True, True
    assert torch.equal(ignored, expected)


def test_annotations_of_the_scenes_as_mmdet_reads_them(tmp_path):
    from mmdet.registry import DATASETS

    from mmcskd import DigitScenes
    from mmcskd.datasets.digit_scenes import box_of

    scenes = DigitScenes(str(tmp_path), training=5, validation=2, canvas=64, sides=(16, 24))
    scenes.write()
    config = Config.fromfile(demo('det_digits').filename).train_dataloader.dataset
    config.update(data_root=str(tmp_path))
    config.pipeline = [step for step in config.pipeline if step['type'] != 'RandomCrop']
    dataset = DATASETS.build(config)
    seen = 0
    for index in range(len(dataset)):
        scene, sample = scenes.draw('training', index), dataset[index]['data_samples']
        assert sample.gt_instances.labels.tolist() == [region.label for region in scene.digits]
        masks = torch.as_tensor(sample.gt_instances.masks.masks.astype(bool))
        for box, mask, region in zip(sample.gt_instances.bboxes.tensor, masks, scene.digits):
            left, top, width, height = box_of(region.mask)
            assert box.tolist() == [left, top, left + width, top + height]
            assert torch.equal(mask, torch.as_tensor(region.mask))
            seen += 1
        assert len(sample.ignored_instances) == len(scene.fragments)
    assert seen > 5
