"""The demo as a user starts it, in small: train, resume and test, in one process and in two."""

import json
import sys

import pytest
import torch
from mmpretrain.models import DistilledVisionTransformer
from runs import TOOLS, losses, run
from small import DEMO, demo

import mmcskd  # noqa: F401

KEEP_LOSSES = """
import json, os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KeepLosses(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = {key: float(value) for key, value in outputs.items()}
        values['sum'] = sum(float(p.detach().abs().sum()) for p in runner.model.parameters())
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.jsonl'), 'a') as file:
            file.write(json.dumps(values) + '\\n')
"""
SMALL = """
_base_ = '{config}'
custom_imports = dict(imports=['mmcskd', 'keep_losses'], allow_failed_imports=False)
train_dataloader = dict(batch_size=2, dataset=dict(data_root='scenes'))
val_dataloader = dict(dataset=dict(data_root='scenes'))
test_dataloader = dict(dataset=dict(data_root='scenes'))
train_cfg = dict(max_iters=4, val_interval=4)
param_scheduler = None
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=5))
"""
COCO = """
val_evaluator = dict(ann_file='scenes/instances_validation.json')
test_evaluator = dict(ann_file='scenes/instances_validation.json')
"""
METRIC = dict(upernet='mIoU', segmenter='mIoU', retinanet='coco/bbox_mAP')
METRIC['mask-rcnn'] = 'coco/segm_mAP'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A directory with scenes, a distilled backbone, random teachers and the demo's configs."""
    place = tmp_path_factory.mktemp('transfer')
    scenes = demo('digit_scenes').scenes
    scenes.update(training=12, validation=6)
    (place / 'digit_scenes.py').write_text(f'scenes = {scenes.to_dict()!r}\n')
    make = [sys.executable, TOOLS / 'make_digit_scenes.py', 'digit_scenes.py', '--out', 'scenes']
    assert 'Wrote scenes' in run(*make, cwd=place)
    assert 'Up to date: scenes' in run(*make, cwd=place)
    (place / 'keep_losses.py').write_text(KEEP_LOSSES)
    arch = demo('seg_digits').vit.arch
    backbone = DistilledVisionTransformer(arch=arch, img_size=40, patch_size=8, out_type='raw')
    backbone.init_weights()
    torch.save(dict(state_dict=backbone.state_dict()), place / 'backbone.pth')
    for path in DEMO.glob('*_*.py'):
        if 'digit' in path.stem:
            continue
        text = SMALL.format(config=path) + 'model = dict()\n'
        # Detectors that hardly trained are sure of nothing; no detections at all have no metric.
        anything = 'dict(score_thr=0.0)'
        if 'mask' in path.stem:
            anything = f'dict(rcnn={anything})'
        if 'cskd_retina' in path.stem:
            text += f'model.update(architecture=dict(test_cfg={anything}))\n'
            text += f'model.update(teacher=dict(test_cfg={anything}))\n'
        elif 'retina' in path.stem or 'mask' in path.stem:
            text += f'model.update(test_cfg={anything})\n'
        if 'retina' in path.stem or 'mask' in path.stem:
            text += COCO
        init = f"dict(type='mmrazor.DistilledInitHook', checkpoint='{place / 'backbone.pth'}')"
        hooks = ["dict(type='KeepLosses')"]
        if 'distilled' in path.stem or 'cskd' in path.stem:
            hooks.append(init)
        if 'cskd' in path.stem:
            hooks.append("dict(type='mmrazor.CKFHook')")
            teacher = 'fcn_resnet18' if 'fcn' in path.stem else 'retinanet_resnet18'
            text += f"model.update(teacher_ckpt='{place / teacher / 'iter_4.pth'}')\n"
        (place / path.name).write_text(text + f'custom_hooks = [{", ".join(hooks)}]\n')
    for teacher in ('fcn_resnet18', 'retinanet_resnet18'):
        train = [sys.executable, TOOLS / 'train.py', f'{teacher}.py', '--work-dir', teacher]
        run(*train, cwd=place)
    return place


@pytest.mark.parametrize('task', METRIC)
def test_train_and_test(task, place):
    """A distilled backbone: fills the model, trains, is evaluated in training and by itself."""
    name = f'{task}_vit_distilled'
    train = [sys.executable, TOOLS / 'train.py', f'{name}.py', '--work-dir', name]
    log = run(*train, cwd=place)
    assert 'Fine-tuning the backbone of' in log and METRIC[task].split('/')[-1] in log
    test = [sys.executable, TOOLS / 'test.py', f'{name}.py', f'{name}/iter_4.pth']
    run(*test, '--work-dir', f'{name}_test', '--out', 'out.json', cwd=place)
    assert METRIC[task] in json.loads((place / 'out.json').read_text())['student']


@pytest.mark.parametrize('name', ['cskd_segmenter_vit_fcn', 'cskd_retinanet_vit_resnet18'])
def test_dense_cskd_resumes_exactly(name, place):
    train = [sys.executable, TOOLS / 'train.py', f'{name}.py']
    run(*train, '--work-dir', f'{name}_whole', cwd=place)
    run(*train, '--work-dir', f'{name}_half', '--cfg-options', 'train_cfg.max_iters=2', cwd=place)
    (place / f'{name}_half' / 'losses_0.jsonl').unlink()
    run(*train, '--work-dir', f'{name}_half', '--resume', cwd=place)
    _, whole = losses(place / f'{name}_whole')
    _, half = losses(place / f'{name}_half')
    assert len(whole) == 4 and len(half) == 2
    # λ goes on where it was; the sampler of an endless set starts anew, so images differ.
    assert all(step['loss_cskd'] > 0 for step in whole + half)
    saved = torch.load(place / f'{name}_half' / 'iter_4.pth', weights_only=False)
    assert saved['message_hub']['log_scalars']['train/fusion_weight'].current() == 0.25
    assert not any('teacher' in key for key in saved['state_dict'])
    test = [sys.executable, TOOLS / 'test.py', f'{name}.py', f'{name}_half/iter_4.pth']
    run(*test, '--teacher', '--work-dir', 'test', '--out', 'out.json', cwd=place)
    assert set(json.loads((place / 'out.json').read_text())) == {'student', 'teacher'}


def test_two_processes(place):
    name = 'cskd_retinanet_vit_resnet18'
    log = run('bash', TOOLS / 'dist_train.sh', f'{name}.py', 2, '--work-dir', 'two', cwd=place)
    assert 'bbox_mAP' in log
    sums = [
        [json.loads(line)['sum'] for line in (place / 'two' / f'losses_{rank}.jsonl').open()]
        for rank in (0, 1)
    ]
    # Each process sees images of its own, and both hold the same weights after every step.
    assert len(sums[0]) == 4 and sums[0] == pytest.approx(sums[1], rel=1e-6)
    assert len(set(sums[0])) == 4


def test_no_distilled_backbone(place):
    train = [sys.executable, TOOLS / 'train.py', DEMO / 'segmenter_vit_distilled.py']
    log = run(
        *train, '--work-dir', 'none', '--cfg-options', 'train_dataloader.dataset.data_root=scenes',
        'val_dataloader.dataset.data_root=scenes', cwd=place, fails=True,
    )  # fmt: skip
    assert 'work_dirs/demo/cskd_vit_resnet18/epoch_14.pth" (in custom_hooks) cannot be read' in log
    log = run(*train, '--work-dir', 'none', cwd=place, fails=True)
    assert 'train_dataloader.dataset.data_root="data/digit_scenes" does not exist' in log
