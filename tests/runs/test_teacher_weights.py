import pytest
import torch
from mmrazor.registry import MODELS
from models import NUM_CLASSES, algorithm_config, build, teacher_config

from mmcskd.runs.weights import digest, load_weights


def assert_filled(model, expected):
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.fixture
def weights():
    return build(teacher_config()).state_dict()


def other_teacher():
    torch.manual_seed(1)
    return build(teacher_config())


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: w,
        lambda w: dict(state_dict=w, meta=dict(epoch=3)),
        lambda w: dict(model=w),
        lambda w: dict(state_dict={f'module.{k}': v for k, v in w.items()}),
        lambda w: dict(
            state_dict={
                **{f'architecture.{k}': v for k, v in w.items()},
                'teacher.head.fc.bias': torch.zeros(3),
            }
        ),
    ],
)
def test_wrappings(tmp_path, weights, wrap):
    path = tmp_path / 'teacher.pth'
    torch.save(wrap(weights), path)
    model = other_teacher()
    load_weights(model, str(path))
    assert_filled(model, weights)


def test_timm_weights_into_a_timm_backbone(tmp_path):
    """The form in which DeiT's RegNetY comes: timm's names under "model"."""
    import timm

    source = timm.create_model('regnety_002', num_classes=NUM_CLASSES).eval()
    path = tmp_path / 'regnety.pth'
    torch.save(dict(model=source.state_dict()), path)
    model = build(
        teacher_config(
            backbone=dict(type='TIMMBackbone', model_name='regnety_002'),
            head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=368),
        )
    ).eval()
    load_weights(model, str(path))
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images), source(images))

    whole = build(
        dict(type='mmpretrain.TimmClassifier', model_name='regnety_002', num_classes=NUM_CLASSES)
    ).eval()
    load_weights(whole, str(path))
    torch.testing.assert_close(whole(images), source(images))


def test_algorithm_loads_its_teacher(tmp_path, weights):
    path = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=weights), path)
    algorithm = build(algorithm_config(random_teacher=False, teacher_ckpt=str(path)))
    assert_filled(algorithm.teacher, weights)


def broken(weights, change):
    weights = dict(weights)
    change(weights)
    return dict(state_dict=weights)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda w: w.pop('head.fc.weight'), r'lacks 1 of .*stay random.*"head.fc.weight"'),
        (lambda w: w.update({'head.fc.bias': torch.zeros(9)}), r'shape \(9,\), expected \(7,\)'),
        (lambda w: w.clear(), 'holds no weights'),
    ],
)
def test_incomplete_weights(tmp_path, weights, change, message):
    path = tmp_path / 'teacher.pth'
    torch.save(broken(weights, change), path)
    model = other_teacher()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r'model\.teacher_ckpt=.*' + message):
        load_weights(model, str(path))
    assert_filled(model, before)


@pytest.mark.parametrize('name', ['head.fc.bias', 'backbone.bn1.running_var'])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_numbers_gone_bad_are_named(tmp_path, weights, name, value):
    weights[name][0] = value
    torch.save(weights, tmp_path / 'teacher.pth')
    given = dict(random_teacher=False, teacher_ckpt=str(tmp_path / 'teacher.pth'))
    with pytest.raises(ValueError, match=rf'model\.teacher_ckpt=".*teacher\.pth": "{name}" .* NaN'):
        MODELS.build(algorithm_config(**given))


def test_unreadable_file(tmp_path):
    path = tmp_path / 'teacher.pth'
    with pytest.raises(ValueError, match=r'model\.teacher_ckpt=".*teacher.pth" cannot be read'):
        load_weights(other_teacher(), str(path))
    path.write_bytes(b'PK\x03\x04 torn')
    with pytest.raises(ValueError, match=r'model\.teacher_ckpt=".*teacher.pth" cannot be read'):
        load_weights(other_teacher(), str(path))


def test_digest_tells_weights_apart(weights):
    model = other_teacher()
    random = digest(model)
    model.load_state_dict(weights)
    assert len(random) == 12
    assert digest(model) != random
    assert digest(model) == digest(model)
