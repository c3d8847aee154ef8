"""Names of models: what they stand for, and that their weights answer as in their own library."""

import re
from pathlib import Path
from types import SimpleNamespace

import timm
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS
from models import batch
from pytest import mark, raises

from mmcskd import DistilledInitHook
from mmcskd.app.configs_of_run import Setting, student_config, teacher_config
from mmcskd.app.known_models import known_models
from mmcskd.app.models_by_name import IMAGENET_CATEGORIES, answers, find_model
from mmcskd.app.pair_check import check_pair
from mmcskd.app.recipe import choose
from mmcskd.runs.weights import load_weights

CLASSES = [str(index) for index in range(7)]
FOUND = SimpleNamespace(
    classes=CLASSES,
    counts=dict(train=99, val=9),
    size=dict(min=[64, 64], max=[64, 64], median=[64, 64]),
    dataset=lambda split, pipeline: dict(type='CustomDataset', pipeline=pipeline),
)


def find(role, name, weights='none', classes=CLASSES, side=100):
    return find_model(role, name, classes, (side, side), weights)


def built(model, role):
    kind = dict(type='CSKDClassifier') if role == 'student' else {}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build({**model.config, **kind}).eval()


@mark.parametrize(
    'role, name, kind, size',
    [
        ('teacher', 'small-cnn', 'ResNet_CIFAR', 64),
        ('student', 'small-vit', 'DistilledVisionTransformer', 64),
        ('teacher', 'resnet50', 'ResNet', 224),
        ('teacher', 'mmpretrain::resnet/resnet18_8xb32_in1k.py', 'ResNet', 224),
        ('student', 'deit-tiny', 'DistilledVisionTransformer', 224),
        ('student', 'swin-tiny', 'SwinTransformer', 224),
    ],
)
def test_of_mmpretrain_and_small_ones(role, name, kind, size):
    model = find(role, name)
    assert model.config['backbone']['type'] == kind
    assert model.config['head']['num_classes'] == 7
    assert (model.size, model.weights) == (size, None)


def test_published_weights_and_their_normalisation():
    model = find('teacher', 'resnet50', weights=None)
    assert 'resnet50_8xb32_in1k' in model.weights
    assert model.mean == (123.675, 116.28, 103.53)
    assert model.classes == tuple(IMAGENET_CATEGORIES)


@mark.parametrize('distilled', [False, True])
def test_vits_of_timm_answer_alike(distilled, tmp_path):
    name = 'deit_tiny_distilled_patch16_224' if distilled else 'vit_tiny_patch16_224'
    theirs = timm.create_model(name, num_classes=7, img_size=224).eval()
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    model = find('student', f'timm:{name}', str(tmp_path / 'theirs.pth'))
    student = built(model, 'stock')
    load_weights(student, model.weights)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(student(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_a_teacher_of_torchvision_starts_from_its_weights_but_for_the_classes(tmp_path):
    theirs = torchvision.models.get_model('mobilenet_v3_small', weights=None)
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    model = find('teacher', 'torchvision:mobilenet_v3_small', str(tmp_path / 'theirs.pth'))
    assert [round(each) for each in model.mean] == [124, 116, 104]
    teacher = built(model, 'teacher')
    before = teacher.state_dict()['classifier.3.weight'].clone()
    DistilledInitHook(model.weights).load(teacher)
    state = teacher.state_dict()
    assert torch.equal(state['features.0.0.weight'], theirs.state_dict()['features.0.0.weight'])
    assert torch.equal(state['classifier.3.weight'], before) and before.shape[0] == 7
    images, samples = batch(2)
    assert teacher(images, samples, mode='loss')['loss'] > 0


def test_whether_a_teacher_answers_the_classes():
    model = find('teacher', 'resnet50', weights=None)
    assert answers(model, IMAGENET_CATEGORIES)
    assert answers(model, [f'n{index:08}' for index in range(1000)])
    assert not answers(model, list(reversed(IMAGENET_CATEGORIES)))
    assert not answers(model, CLASSES)
    assert not answers(find('teacher', 'resnet50'), IMAGENET_CATEGORIES)


def test_another_size():
    model = find('student', 'deit-tiny', weights=None)
    small = model.resized(96, '--size')
    assert small.config['backbone']['img_size'] == 96
    assert small.grid == (14, 14)
    with raises(ValueError, match='--size 100 is no side for deit-tiny.*a multiple of 16'):
        model.resized(100, '--size')
    with raises(ValueError, match='--size is 160000, expected at most 8192'):
        model.resized(160000, '--size')
    assert find('student', 'small-vit').resized(96, '--size').config['backbone']['patch_size'] == 12


@mark.parametrize(
    'role, name, message',
    [
        ('teacher', 'resnet', r'--teacher "resnet" is a part of \d+ names'),
        ('teacher', 'timm:resnet500', '--teacher "timm:resnet500": timm has no such.*"resnet50'),
        ('teacher', 'torchvision:resnet51', '"torchvision:resnet51".*no such.*"resnet50"'),
        ('student', 'torchvision:vit_b_16', 'students are models of MMPretrain or ViTs of timm'),
        ('student', 'timm:resnet18', '--student "timm:resnet18" is a ResNet'),
        ('student', 'timm:cait_xxs24_224', '--student "timm:cait_xxs24_224" is a Cait'),
        ('teacher', 'nothing.pth', '--teacher "nothing.pth" cannot be read'),
    ],
)
def test_refused(role, name, message):
    with raises(ValueError, match=message):
        find(role, name)


def test_the_list_of_known_models():
    names = {each.name for each in known_models(['student', 'deit'])}
    assert 'deit-tiny-distilled_3rdparty_in1k' in names and 'small-vit' not in names
    assert {'small-cnn', 'resnet50_8xb32_in1k'} <= {each.name for each in known_models(['teacher'])}


@mark.slow
def test_each_recommended_pair_can_teach_place_by_place():
    page = Path(__file__).parents[2] / 'docs' / 'own_images.md'
    table = page.read_text('utf-8').split('## Which pair')[1].split('\n##')[0]
    pairs = re.findall(r'^\|[^|`]*\| `([^`]+)` \| `([^`]+)` \|', table, re.MULTILINE)
    assert len(pairs) == 5
    setting = Setting(FOUND, 'photo', 0, 1, False)
    for names in pairs:
        teacher, student = find('teacher', names[0]), find('student', names[1])
        recipe = choose('student', 99, False, False)
        check_pair(teacher, student, student_config(student, recipe, setting, 'o', teacher, 'x'))


def test_the_recipe_follows_the_number_of_images():
    assert choose('student', 8000, True, False)[:3] == (24, 64, 2e-3)
    assert choose('baseline', 8000, True, False).lr == 1e-3
    assert choose('student', 1400, True, False).epochs == 137
    assert choose('student', 100, True, False)[:3] == (150, 8, 7.07e-4)
    assert choose('student', 100, True, False, epochs=3, batch_size=64, lr=0.1)[:3] == (3, 64, 0.1)


@mark.parametrize(
    'name, classifiers',
    [
        ('timm:regnety_002', 1),
        ('timm:efficientnet_lite0', 1),
        ('torchvision:resnet18', 1),
        ('torchvision:mobilenet_v2', 1),
        ('resnet18', 1),
        ('deit-tiny', 2),
    ],
)
def test_a_new_classifier_learns_ten_times_as_fast(name, classifiers, tmp_path):
    """It alone, and the config names no weight that is not there, which a run refuses."""
    torch.save({}, tmp_path / 'w.pth')
    model = find('teacher', name, str(tmp_path / 'w.pth'))
    recipe, setting = choose('teacher', 99, False, True), Setting(FOUND, 'photo', 0, 1, False)
    cfg = Config.fromstring(teacher_config(model, recipe, setting, 'o'), '.py')
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    keys = {key: value for key, value in keys.items() if 'lr_mult' in value}
    names = [each for each, _ in built(model, 'teacher').named_parameters()]
    assert all(any(key in each for each in names) for key in keys)
    fast = [each for each in names if any(key in each for key in keys)]
    assert [each.split('.')[-1] for each in fast] == classifiers * ['weight', 'bias']
    assert fast == names[-2 * classifiers :] and all(keys[key].lr_mult == 10 for key in keys)
