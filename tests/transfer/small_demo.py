"""The transfer demo in small: a dozen scenes, four iterations, teachers that hardly trained."""

import torch
from mmpretrain.models import DistilledVisionTransformer
from small import DEMO, demo
from tool_runs import DEMO as SCRIPTS
from tool_runs import call

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
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=2, max_keep_ckpts=5),
    exact_resume=dict(allowed_changes=['train_cfg.max_iters']),
)
"""
COCO = """
val_evaluator = dict(ann_file='scenes/instances_validation.json')
test_evaluator = dict(ann_file='scenes/instances_validation.json')
"""
TEACHERS = ('fcn_resnet18', 'retinanet_resnet18', 'faster-rcnn_resnet18')
TASKS = {
    'segmenter': ('segmenter_vit', 'cskd_segmenter_vit_fcn', 'fcn_resnet18'),
    'upernet': ('upernet_vit', 'cskd_upernet_vit_fcn', 'fcn_resnet18'),
    'retinanet': ('retinanet_vit', 'cskd_retinanet_vit_resnet18', 'retinanet_resnet18'),
    'mask-rcnn': ('mask-rcnn_vit', 'cskd_mask-rcnn_vit_rpn-resnet18', 'faster-rcnn_resnet18'),
}
STUDENTS = {
    name: teacher if name == dense else None
    for plain, dense, teacher in TASKS.values()
    for name in (plain, f'{plain}_distilled', dense)
}
METRICS = {
    'segmenter': ['mIoU'],
    'upernet': ['mIoU'],
    'retinanet': ['coco/bbox_mAP'],
    'mask-rcnn': ['coco/bbox_mAP', 'coco/segm_mAP'],
}


def metrics_of(name):
    """What a student is measured by."""
    return METRICS[name.replace('cskd_', '').split('_')[0]]


def make_small_demo(place, teachers=TEACHERS):
    """Fill a folder with scenes, a distilled backbone, trained teachers and the demo's configs.

    Args:
        place (Path): The folder.
        teachers (Sequence[str]): Those to train. Defaults to all.

    Returns:
        Path: The same.
    """
    scenes = demo('digit_scenes').scenes
    scenes.update(training=12, validation=6, out='scenes')
    (place / 'digit_scenes.py').write_text(f'scenes = {scenes.to_dict()!r}\n')
    assert 'Wrote scenes' in call('make_digit_scenes', 'digit_scenes.py', cwd=place, folder=SCRIPTS)
    (place / 'keep_losses.py').write_text(KEEP_LOSSES)
    arch = demo('seg_digits').vit.arch
    backbone = DistilledVisionTransformer(arch=arch, img_size=40, patch_size=8, out_type='raw')
    backbone.init_weights()
    content = dict(state_dict=backbone.state_dict(), meta=dict(grid=[5, 5]))
    torch.save(content, place / 'backbone.pth')
    for name in (*TEACHERS, *STUDENTS):
        (place / f'{name}.py').write_text(small_config(name, place))
    for name in teachers:
        call('train', f'{name}.py', '--work-dir', name, cwd=place)
    return place


def small_config(name, place):
    """A config of the demo that trains in a second, as text."""
    text, model, hooks = SMALL.format(config=DEMO / f'{name}.py'), {}, [dict(type='KeepLosses')]
    distils = name.startswith('cskd')
    if 'retinanet' in name or 'rcnn' in name:
        text += COCO
        # Detectors that hardly trained are sure of nothing; no detections at all have no metric.
        anything = dict(score_thr=0.0)
        model['test_cfg'] = anything if 'retinanet' in name else dict(rcnn=anything)
    if name == 'fcn_resnet18':
        model['backbone'] = dict(init_cfg=None)
    if distils or name.endswith('distilled'):
        backbone = str(place / 'backbone.pth')
        hooks.append(dict(type='mmrazor.DistilledInitHook', checkpoint=backbone))
    if distils:
        model = dict(architecture=model, teacher_ckpt=str(place / STUDENTS[name] / 'iter_4.pth'))
        if 'retinanet' in name:
            model['teacher'] = dict(test_cfg=anything)
        hooks.append(dict(type='mmrazor.CKFHook'))
    return f'{text}model = {model!r}\ncustom_hooks = {hooks!r}\n'
