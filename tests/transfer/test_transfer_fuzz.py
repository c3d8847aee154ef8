"""Fault: a config of detection or segmentation that is wrong where MMEngine reads it.

As tests/faults/test_run_fuzz.py: the images are the demo's scenes, the model a tiny backbone.
"""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpretrain.models import DistilledVisionTransformer
from mutations import parts_of_a_run, try_mutations
from small import CONFIGS, DEMO, demo
from tool_runs import DEMO as SCRIPTS
from tool_runs import call

pytest.importorskip('mmcv.ops', reason='no ops of mmcv', exc_type=ImportError)
detectors = pytest.importorskip('mmdet.models', reason='no MMDetection', exc_type=ImportError)
segmentors = pytest.importorskip('mmseg.models', reason='no MMSegmentation', exc_type=ImportError)

MMDET = pytest.importorskip('mmdet.registry').MODELS
MMSEG = pytest.importorskip('mmseg.registry').MODELS
COUNT = int(os.environ.get('MMCSKD_FAULTS_FUZZ', 66))
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


class AnySize:
    """The mean of a tiny ViT's features over 16 × 16 means of an image."""

    def __init__(self, data_preprocessor=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.backbone = DistilledVisionTransformer(arch=ARCH, img_size=16, patch_size=8)

    def loss(self, images, samples):
        self.learnt_from(samples)
        images = torch.nn.functional.adaptive_avg_pool2d(images, 16)
        return dict(loss=self.backbone(images)[0][0].square().mean())

    def extract_feat(self, images):
        return self.backbone(images)

    encode_decode = _forward = extract_feat


@MMDET.register_module()
class AnyDetector(AnySize, detectors.BaseDetector):
    """Finds the same object in each image."""

    with_bbox = True

    def learnt_from(self, samples):
        return [sample.gt_instances.bboxes for sample in samples]

    def predict(self, images, samples):
        for sample in samples:
            masks = torch.zeros(1, *sample.ori_shape, dtype=torch.bool)
            masks[:, 2:9, 2:9] = True
            box = torch.tensor([[2.0, 2, 9, 9]])
            found = dict(bboxes=box, labels=torch.tensor([1]), scores=torch.tensor([0.5]))
            sample.pred_instances = InstanceData(masks=masks, **found)
        return samples


@MMSEG.register_module()
class AnySegmentor(AnySize, segmentors.BaseSegmentor):
    """Answers background."""

    decode_head = None

    def learnt_from(self, samples):
        return [sample.gt_sem_seg.data for sample in samples]

    def predict(self, images, samples):
        for sample in samples:
            shape = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else sample.ori_shape
            sample.pred_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.int64))
        return samples


@pytest.fixture(scope='module')
def shipped(tmp_path_factory):
    """The shipped configs over a dozen scenes, one of each kind."""
    place = tmp_path_factory.mktemp('scenes')
    scenes = demo('digit_scenes').scenes
    scenes.update(training=12, validation=4, out='scenes')
    (place / 'digit_scenes.py').write_text(f'scenes = {scenes.to_dict()!r}\n')
    call('make_digit_scenes', 'digit_scenes.py', cwd=place, folder=SCRIPTS)
    found = {}
    for path in sorted(CONFIGS.rglob('*.py')):
        cfg = Config.fromfile(path)
        if '_base_' in path.parts or 'model' not in cfg:
            continue
        small = demo('det_digits' if cfg.default_scope == 'mmdet' else 'seg_digits')
        student = cfg.model.get('architecture', cfg.model)
        preprocessor = student.get('data_preprocessor', cfg.get('data_preprocessor'))
        kind = 'AnyDetector' if cfg.default_scope == 'mmdet' else 'AnySegmentor'
        part = parts_of_a_run(cfg, dict(type=kind))
        part['data_preprocessor'] = Config(dict(model=preprocessor)).to_dict()['model']
        for key in ('train_dataloader', 'val_dataloader'):
            dataset = small[key].dataset.to_dict()
            pipeline = part[key]['dataset']['pipeline']
            dataset.update(data_root=str(place / 'scenes'), pipeline=pipeline)
            part[key].update(dataset=dataset, batch_size=2, num_workers=0, persistent_workers=False)
        if cfg.default_scope == 'mmdet':
            part['val_evaluator']['ann_file'] = str(place / 'scenes/instances_validation.json')
        found.setdefault(repr(part), (path.stem, part))
    return list(found.values())


@pytest.mark.parametrize('count', [10, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_one_mutation(shipped, tmp_path, count, record_property):
    """Runs, or ends with a ValueError or TypeError of this package that names a key."""
    assert len(shipped) >= 5 and DEMO.is_dir()
    counts, wrong = try_mutations(shipped, count, tmp_path)
    for outcome, number in counts.items():
        record_property(outcome, number)
    assert not wrong, '\n'.join(wrong)
