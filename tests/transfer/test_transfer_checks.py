"""A config of detection or segmentation that its packages would trip over is refused by its key."""

import importlib
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from misspelt_keys import those_that_pass
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import BaseLoop
from small import CONFIGS, demo

from mmcskd.app.run_checks import check_run
from mmcskd.checks.config_check import check_config

STOCK = '.mim/configs'
DETECTOR, SEGMENTOR = 'mask-rcnn_vit', 'fcn_resnet18'


def check(cfg):
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        check_config(cfg, ['train', 'val'])


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr(Path, 'exists', lambda self: True)
    monkeypatch.setattr(Path, 'is_file', lambda self: True)


@pytest.mark.parametrize(
    'package, path',
    [
        ('mmdet', 'grounding_dino/flickr30k/grounding_dino_swin-t-pretrain_zeroshot_flickr30k.py'),
        ('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_amp-1x_coco.py'),
        ('mmdet', 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'),
        ('mmseg', 'fcn/fcn_r101-d8_4xb2-amp-80k_cityscapes-512x1024.py'),
        ('mmseg', 'point_rend/pointrend_r50_4xb4-160k_ade20k-512x512.py'),
        ('mmseg', 'beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py'),
    ],
)
def test_stock_configs_are_not_refused(package, path, on_disk):
    root = Path(importlib.import_module(package).__file__).parent
    check(Config.fromfile(root / STOCK / path))


@pytest.mark.parametrize(
    'name, changes, message',
    [
        (DETECTOR, {'val_evaluator.metric': [3]}, r'val_evaluator\.metric is \[3\], expected text'),
        (DETECTOR, {'val_evaluator.metrics': []}, r'val_evaluator\.metrics is \[\], expected at l'),
        (SEGMENTOR, {'val_evaluator.iou_metrics': ['IoU']}, 'iou_metrics has \'IoU\'. .*"mIoU"'),
        (
            SEGMENTOR,
            {'train_dataloader.dataset.data_prefix.seg_map_path': None},
            r'train_dataloader\.dataset\.data_prefix lacks "seg_map_path"',
        ),
        (
            SEGMENTOR,
            {'train_dataloader.dataset.pipeline.1.reduce_zero_label': False},
            r'reduce_zero_label is True, but .*pipeline\.1\.reduce_zero_label False',
        ),
        (
            SEGMENTOR,
            {'train_dataloader.dataset.metainfo': dict(_delete_=True, clases=['a'])},
            r'dataset\.metainfo lacks "classes"\. Nearest: "clases"',
        ),
        (
            DETECTOR,
            {'val_dataloader.dataset.pipeline.3.meta_keys': ['img_id', 'ori_shap']},
            r'meta_keys has "ori_shap", .* Nearest: "ori_shape"',
        ),
        (
            DETECTOR,
            {'val_dataloader.dataset.pipeline.3.meta_keys': ['img_id', 'img_shape']},
            r'meta_keys lacks "ori_shape"',
        ),
        (
            DETECTOR,
            {'val_dataloader.dataset.pipeline.1.scale': [0, 4]},
            r'pipeline\.1\.scale is \[0, 4\], expected numbers > 0',
        ),
        (DETECTOR, {'val_dataloader.dataset.pipeline.1.scale': []}, r'scale is \[\], expected num'),
        (
            DETECTOR,
            {'val_dataloader.dataset.pipeline.1': dict(type='RandomResize', scale=[48, 48])},
            r'pipeline\.1\.scale is \[48, 48\], expected a tuple',
        ),
        (
            SEGMENTOR,
            {'train_dataloader.dataset.pipeline.2.pad_val.img': []},
            r'pipeline\.2\.pad_val has \[\], expected a number or a tuple',
        ),
        (
            SEGMENTOR,
            {'train_dataloader.dataset.pipeline.3.cat_max_ratio': 3},
            r'pipeline\.3\.cat_max_ratio is 3, expected numbers of 0 to 1',
        ),
        (
            DETECTOR,
            {'val_dataloader.dataset.pipeline.1.type': 'RandomResize'},
            r'pipeline\.1 lacks "ratio_range"',
        ),
    ],
)
def test_refused(name, changes, message, on_disk):
    cfg = demo(name)
    check(cfg)
    cfg.merge_from_dict(changes)
    with pytest.raises((TypeError, ValueError), match=message):
        check(cfg)


@pytest.mark.slow
def test_a_misspelt_key_is_refused(on_disk):
    """Every key of every shipped config is used or refused."""
    passed, tried = those_that_pass(sorted(CONFIGS.rglob('*.py')))
    assert len(tried) > 150
    assert not passed, passed


@pytest.mark.parametrize('name', [DETECTOR, SEGMENTOR])
def test_images_that_nothing_prepares(name, on_disk):
    cfg = demo(name)
    for part in (cfg, cfg.model):
        part.pop('data_preprocessor')
    with pytest.raises(ValueError, match='data_preprocessor is missing, and the model has none'):
        check(cfg)


class Loop(BaseLoop):
    """A loop that is built, but not run."""

    def __init__(self, dataset, evaluator=None):
        self.dataloader = SimpleNamespace(dataset=dataset)
        self.evaluator = evaluator

    run = None


def built(student, train, val=None, evaluator=None):
    """Of a Runner, what is checked."""
    loops = dict(_train_loop=Loop(train), _val_loop=Loop(val or train, evaluator))
    return SimpleNamespace(
        model=student, cfg=Config(), hooks=[], train_dataloader=loops['_train_loop'].dataloader,
        logger=logging.getLogger(), max_iters=1, max_epochs=1, param_schedulers=[], **loops,
    )  # fmt: skip


def dataset(*steps, **parts):
    return SimpleNamespace(pipeline=Compose(list(steps)), **parts)


def test_what_a_student_learns_from_is_loaded():
    from mmdet.datasets.transforms import LoadAnnotations as Boxes
    from mmseg.datasets.transforms import LoadAnnotations as Maps

    masks, segmentor = torch.nn.Module(), torch.nn.Module()
    masks.with_bbox = masks.with_mask = True
    segmentor.decode_head = torch.nn.Module()
    check_run(built(masks, dataset(Boxes(with_mask=True))))
    check_run(built(segmentor, dataset(Maps())))
    for student, step, name in (
        (masks, Boxes(), 'with_mask'),
        (masks, Boxes(with_bbox=False, with_mask=True), 'with_bbox'),
        (segmentor, Boxes(), 'with_seg'),
    ):
        with pytest.raises(ValueError, match=f'pipeline has no LoadAnnotations with {name}=True'):
            check_run(built(student, dataset(step)))


def test_metrics_have_classes_and_annotations():
    from mmdet.evaluation import CocoMetric
    from mmseg.evaluation import IoUMetric

    def evaluated(metric, **parts):
        student, evaluator = torch.nn.Identity(), SimpleNamespace(metrics=[metric])
        return built(student, dataset(), dataset(**parts), evaluator)

    check_run(evaluated(IoUMetric(), metainfo=dict(classes=['a'])))
    with pytest.raises(ValueError, match=r'val_dataloader\.dataset\.metainfo\.classes is missing'):
        check_run(evaluated(IoUMetric()))
    with pytest.raises(ValueError, match=r'val_evaluator\.ann_file is missing: name the file'):
        check_run(evaluated(CocoMetric()))


def test_classes_that_the_file_does_not_have():
    part = dict(metainfo=dict(classes=['a', 'b']), ann_file='x.json')
    check_run(built(torch.nn.Identity(), dataset(cat_ids=[1, 2], **part)))
    repeated = SimpleNamespace(dataset=dataset(cat_ids=[1], **part))
    with pytest.raises(ValueError, match=r'has 2 names, of which 1 are categories of ann_file="x'):
        check_run(built(torch.nn.Identity(), repeated))
