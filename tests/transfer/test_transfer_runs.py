"""Each config of the demo as a user starts it, in small: trained, resumed, evaluated."""

import json

import pytest
import torch
from small import DEMO
from small_demo import STUDENTS, TEACHERS, make_small_demo, metrics_of
from tool_runs import DEMO as SCRIPTS
from tool_runs import call, losses

import mmcskd  # noqa: F401


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return make_small_demo(tmp_path_factory.mktemp('transfer'))


def test_scenes_are_not_written_twice(place):
    said = call('make_digit_scenes', 'digit_scenes.py', cwd=place, folder=SCRIPTS)
    assert 'Up to date: scenes' in said


@pytest.mark.parametrize('name', STUDENTS)
def test_trains_resumes_and_is_evaluated(name, place):
    """A run that was interrupted half way goes on as if it had not been."""
    config, whole_run, half_run = f'{name}.py', f'{name}_whole', f'{name}_half'
    log = call('train', config, '--work-dir', whole_run, cwd=place)
    assert all(metric.split('/')[-1] in log for metric in metrics_of(name))  # evaluated in training
    assert ('Fine-tuning the backbone of' in log) == (not name.endswith('_vit'))
    resumed_from = ('--no-validate', '--resume', f'{whole_run}/iter_2.pth')
    call('train', config, '--work-dir', half_run, *resumed_from, cwd=place)
    (_, whole), (_, resumed) = losses(place / whole_run), losses(place / half_run)
    assert len(whole) == 4 and len(resumed) == 2
    for step, again in zip(whole[2:], resumed):
        assert again == pytest.approx(step, rel=1e-4)
    assert len({step['sum'] for step in whole}) == 4
    saved = torch.load(place / half_run / 'iter_4.pth', weights_only=False)
    assert not any('teacher' in key for key in saved['state_dict'])
    if 'cskd' in name:
        assert all(step['loss_cskd'] > 0 for step in whole)
        assert saved['message_hub']['log_scalars']['train/fusion_weight'].current() == 0.25

    test = ('test', config, f'{half_run}/iter_4.pth', '--work-dir', f'{name}_test')
    call(*test, '--out', f'{name}.json', cwd=place)
    found = json.loads((place / f'{name}.json').read_text())['student']
    for metric in metrics_of(name):
        assert 0 <= found[metric] <= 100


@pytest.mark.parametrize('name', TEACHERS)
def test_teachers_are_evaluated(name, place):
    test = ('test', f'{name}.py', f'{name}/iter_4.pth', '--work-dir', f'{name}_test')
    call(*test, '--out', f'{name}.json', cwd=place)
    found = json.loads((place / f'{name}.json').read_text())['student']
    assert 0 <= found['mIoU' if name.startswith('fcn') else 'coco/bbox_mAP'] <= 100


def test_a_teacher_beside_its_student(place):
    name = 'cskd_retinanet_vit_resnet18'
    call('train', f'{name}.py', '--work-dir', 'taught', cwd=place)
    test = ('test', f'{name}.py', 'taught/iter_4.pth', '--teacher', '--work-dir', 'both')
    call(*test, '--out', 'both.json', cwd=place)
    assert set(json.loads((place / 'both.json').read_text())) == {'student', 'teacher'}


def test_no_distilled_backbone(place):
    train = ('train', DEMO / 'segmenter_vit_distilled.py', '--work-dir', 'none')
    roots = [f'{part}_dataloader.dataset.data_root=scenes' for part in ('train', 'val')]
    log = call(*train, '--cfg-options', *roots, cwd=place, fails=True)
    assert 'work_dirs/demo/cskd_vit_resnet18/epoch_14.pth" (in custom_hooks) cannot be read' in log
    log = call(*train, cwd=place, fails=True)
    assert 'train_dataloader.dataset.data_root="data/digit_scenes" does not exist' in log
