"""A teacher of timm with ``pretrained=True``; its ``pretrained_cfg`` names a file."""

import pytest
import timm
import torch
from models import NUM_CLASSES, algorithm_config, build


@pytest.fixture
def teacher(tmp_path):
    source = timm.create_model('resnet10t', num_classes=NUM_CLASSES)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    names = [f'kind {i}' for i in range(NUM_CLASSES)]
    told = dict(file=str(tmp_path / 'a.pth'), num_classes=NUM_CLASSES, label_names=names)
    config = dict(
        type='mmpretrain.TimmClassifier',
        model_name='resnet10t',
        pretrained=True,
        pretrained_cfg_overlay=told,
        num_classes=NUM_CLASSES,
    )
    return source, config


def algorithm(teacher):
    return build(algorithm_config(teacher=teacher, random_teacher=False))


def test_its_weights_are_its_own(teacher):
    source, config = teacher
    built = algorithm(config).teacher
    state = built.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in source.state_dict().items())
    assert built._dataset_meta['classes'][1] == 'kind 1'


def test_a_head_for_other_classes_would_be_random(teacher):
    config = dict(teacher[1], num_classes=NUM_CLASSES + 2)
    with pytest.raises(ValueError, match=r'model\.teacher\.num_classes is 9, but .* are of 7'):
        build(algorithm_config(teacher=config, random_teacher=False, architecture=student(9)))


def student(classes):
    config = algorithm_config()['architecture']
    config['head']['num_classes'] = classes
    return config


def test_a_backbone_alone_is_not_enough(teacher):
    config = dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='TIMMBackbone', model_name='resnet10t', pretrained=True),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=512),
    )
    with pytest.raises(ValueError, match='The teacher has no weights .* set model.teacher_ckpt'):
        algorithm(config)
