"""Fine-tuning configs start from the distilled student and train on each dataset's own files."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import DATASETS, MODELS
from models import ARCH
from PIL import Image
from scipy.io import savemat

from mmcskd.datasets.inaturalist import INaturalist  # noqa: F401, registered
from mmcskd.runs.distilled_init_hook import DistilledInitHook

DOWNSTREAM = Path(__file__).parents[2] / 'configs' / 'downstream'
CLASSES = {
    'deit-s_cifar10': 10,
    'deit-s_cifar100': 100,
    'vit-s_cifar100': 100,
    'deit-s_flowers102': 102,
    'deit-s_cars': 196,
    'deit-s_inat18': 8142,
    'deit-s_inat19': 1010,
    'deit-s_imagenet-384': 1000,
}
WIDTH = ARCH['embed_dims']
SEEN = 4  # training images of each made-up dataset


def image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_cifar(root, monkeypatch, kind):
    """Pickles with 'data' (N, 3072) and labels. Of the check only the known sums are replaced."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    key = 'fine_labels' if kind is CIFAR100 else 'labels'

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for attribute in ('train_list', 'test_list'):
        known = getattr(kind, attribute)
        each = SEEN // len(known) or 1
        made = []
        for name, _ in known:
            data = rng.integers(0, 256, (each, 3072), dtype=np.uint8)
            made.append([name, write(name, {'data': data, key: list(range(each))})])
        monkeypatch.setattr(kind, attribute, made)
    return 5 if kind is CIFAR10 else SEEN


def make_flowers(root):
    """imagelabels.mat counts labels from 1, setid.mat names images by number, from 1."""
    root.mkdir()
    savemat(root / 'imagelabels.mat', {'labels': np.array([[77, 1, 102, 5, 9, 3]], np.uint8)})
    ids = dict(trnid=[[1, 2]], valid=[[3, 4]], tstid=[[5, 6]])
    savemat(root / 'setid.mat', {k: np.array(v, np.uint16) for k, v in ids.items()})
    for number in range(1, 7):
        image(root / 'jpg' / f'image_{number:05d}.jpg', number)
    return [76, 0, 101, 4]


def make_cars(root):
    """cars_annos.mat: a structure array, classes from 1, `test` tells the splits apart."""
    root.mkdir()
    fields = ['relative_im_path', 'bbox_x1', 'bbox_y1', 'bbox_x2', 'bbox_y2', 'class', 'test']
    rows = np.zeros((1, 6), dtype=[(name, object) for name in fields])
    for index, label in enumerate((196, 1, 7, 20, 3, 4)):
        name = f'car_ims/{index + 1:06d}.jpg'
        rows[0, index] = (name, 1, 1, 60, 60, np.uint8(label), np.uint8(index >= SEEN))
        image(root / name, index)
    savemat(root / 'cars_annos.mat', {'annotations': rows})
    return [195, 0, 6, 19]


def make_inat(root, year):
    """COCO's tables, as the competition's files hold them; the order of ids is not that of rows."""
    classes = {2018: 8142, 2019: 1010}[year]
    folder = f'train_val{year}'
    for split, labels in (('train', [classes - 1, 0, 5, 2]), ('val', [1, 3])):
        images, annotations = [], []
        for index, label in enumerate(labels):
            name = f'{folder}/Plantae/{label}/{split}{index}.jpg'
            images.append(dict(id=900 + index, file_name=name, width=90, height=70))
            annotations.append(dict(id=index, image_id=900 + index, category_id=label))
            image(root / name, index)
        categories = [dict(id=i, name=f'species {i}', supercategory='P') for i in range(classes)]
        content = dict(
            info={}, images=images[::-1], categories=categories[::-1], annotations=annotations
        )
        (root / f'{split}{year}.json').write_text(json.dumps(content))
    return [classes - 1, 0, 5, 2]


def make_imagenet(root):
    for index in range(1000):
        folder = root / 'train' / f'n{index:08d}'
        folder.mkdir(parents=True)
        if index < SEEN:
            image(folder / f'{folder.name}_{index}.JPEG', index)
    return list(range(SEEN))


def make(name, root, monkeypatch):
    """The dataset on the disk, and its training labels."""
    if 'cifar' in name:
        made = make_cifar(root, monkeypatch, CIFAR100 if 'cifar100' in name else CIFAR10)
        return [0] * 5 if made == 5 else list(range(SEEN))
    makers = dict(flowers102=make_flowers, cars=make_cars, imagenet=make_imagenet)
    for key, maker in makers.items():
        if key in name:
            return maker(root)
    return make_inat(root, 2018 if name.endswith('18') else 2019)


def distilled(**changes):
    backbone = dict(type='DistilledVisionTransformer', arch=ARCH, img_size=224)
    backbone.update(changes)
    kind = 'DeiTClsHead' if 'Distilled' in backbone['type'] else 'VisionTransformerClsHead'
    head = dict(type=kind, num_classes=1000, in_channels=WIDTH)
    model = MODELS.build(dict(type='CSKDClassifier', backbone=backbone, head=head))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def student():
    return distilled().state_dict()


@pytest.fixture
def checkpoint(student, tmp_path):
    """As this project saves it: the student inside the algorithm."""
    path = tmp_path / 'epoch_300.pth'
    state = {f'architecture.{k}': v for k, v in student.items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=GRID.format(224))), path)
    return str(path)


GRID = "model = dict(architecture=dict(backbone=dict(type='ViT', img_size={}, patch_size=16)))"


class Watch(Hook):
    """The state that training starts from, losses and gradients."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.gradients = [], {}

    def before_train(self, runner):
        self.start = {k: v.clone() for k, v in runner.model.state_dict().items()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss']))


def reduce(name, root, checkpoint, work_dir):
    cfg = Config.fromfile(DOWNSTREAM / f'{name}.py')
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'{name}_{work_dir.name}'
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = None
    cfg.train_dataloader.update(batch_size=2, num_workers=0)
    cfg.train_dataloader.dataset.data_root = str(root)
    cfg.model.backbone.arch, cfg.model.head.in_channels = ARCH, WIDTH
    cfg.custom_hooks[0].checkpoint = checkpoint
    return cfg


def expected_backbone(name, student):
    state = {k[9:]: v for k, v in student.items() if k.startswith('backbone.')}
    embed = state['pos_embed']
    assert embed.shape == (1, 2 + 14 * 14, WIDTH)
    if name.startswith('vit'):
        del state['dist_token']
        state['pos_embed'] = torch.cat([embed[:, :1], embed[:, 2:]], dim=1)
    elif name.endswith('384'):
        state['pos_embed'] = resize_pos_embed(
            embed, (14, 14), (24, 24), mode='bicubic', num_extra_tokens=2
        )
    return state


@pytest.mark.parametrize('name', CLASSES)
def test_trains(name, student, checkpoint, tmp_path, monkeypatch):
    labels = make(name, tmp_path / 'data', monkeypatch)
    runner = Runner.from_cfg(reduce(name, tmp_path / 'data', checkpoint, tmp_path))
    watch = Watch()
    runner.register_hook(watch)
    for key, parameter in runner.model.named_parameters():
        assert parameter.requires_grad
        parameter.register_hook(
            lambda g, key=key: watch.gradients.setdefault(key, []).append(g.abs().max().item())
        )
    runner.train()

    dataset = runner.train_dataloader.dataset
    assert [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))] == labels
    size = 384 if name.endswith('384') else 224
    assert dataset[0]['inputs'].shape == (3, size, size)
    if dataset.CLASSES is not None:
        assert len(dataset.CLASSES) == CLASSES[name]

    backbone = expected_backbone(name, student)
    started = {k[9:]: v for k, v in watch.start.items() if k.startswith('backbone.')}
    assert set(started) == set(backbone)
    for key, value in backbone.items():
        assert torch.equal(started[key], value), key
    heads = ['head'] if name.startswith('vit') else ['head', 'head_dist']
    for head in heads:
        weight = watch.start[f'head.layers.{head}.weight']
        assert weight.shape == (CLASSES[name], WIDTH)
        if name.endswith('384'):
            assert torch.equal(weight, student[f'head.layers.{head}.weight'])
        else:
            assert not weight.any()
    assert {k for k in watch.start if k.endswith('weight') and k.startswith('head')} == {
        f'head.layers.{head}.weight' for head in heads
    }

    # A head that starts at zero lets no gradient through in the first step.
    assert len(watch.losses) >= 2 and np.isfinite(watch.losses).all()
    assert set(watch.gradients) == {key for key, _ in runner.model.named_parameters()}
    for key, gradients in watch.gradients.items():
        assert len(gradients) == len(watch.losses) and gradients[-1] > 0, key
    if not name.endswith('384'):
        uniform = np.log(CLASSES[name])
        assert watch.losses[0] == pytest.approx(uniform, rel=0.02)


def test_no_config_is_forgotten():
    assert {path.stem for path in DOWNSTREAM.glob('*.py')} == set(CLASSES)


@pytest.mark.parametrize('name', CLASSES)
def test_recipe(name):
    cfg = Config.fromfile(DOWNSTREAM / f'{name}.py')
    optimizer, (warmup, cosine) = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    values = (optimizer.type, optimizer.lr, optimizer.weight_decay, cfg.train_cfg.max_epochs)
    erasing = [s.erase_prob for s in cfg.train_dataloader.dataset.pipeline if 'erase_prob' in s]
    batch_size = 8 * cfg.train_dataloader.batch_size
    if 'inat' in name:
        assert (*values, batch_size) == ('AdamW', 7.5e-5, 0.05, 360, 768)
        assert erasing == [0.1] and cfg.model.backbone.drop_path_rate == 0.1
    elif '384' in name:
        assert (*values, batch_size) == ('AdamW', 5e-6, 1e-8, 30, 512)
        assert erasing == [0.25] and cosine.eta_min == optimizer.lr
    else:
        assert (*values, batch_size) == ('SGD', 0.01, 1e-4, 1000, 768)
        assert erasing == [] and optimizer.nesterov and optimizer.momentum == 0.9
    assert warmup.start_factor * optimizer.lr == pytest.approx(1e-6)
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    assert cfg.data_preprocessor.num_classes == cfg.model.head.num_classes == CLASSES[name]
    assert cfg.model.head.loss.loss_weight == 1 and cfg.model.head.loss.label_smooth_val == 0.1
    assert cfg.data_preprocessor.to_rgb == ('cifar' not in name)
    # Built, the test data and the training data are of one kind and not of one split.
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert cfg.test_dataloader == cfg.val_dataloader
    assert (train.type, train.data_root) == (test.type, test.data_root)
    assert train.split != test.split
    crop = next(step for step in test.pipeline if step.type == 'CenterCrop').crop_size
    edge = next(step for step in test.pipeline if step.type == 'ResizeEdge').scale
    assert (crop, edge) == ((384, 438) if '384' in name else (224, 256))


def plain(**changes):
    backbone = dict(type='VisionTransformer', arch=ARCH, img_size=224)
    head = dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=WIDTH)
    return MODELS.build(dict(type='ImageClassifier', backbone={**backbone, **changes}, head=head))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: w,
        lambda w: dict(state_dict={f'module.{k}': v for k, v in w.items()}),
        lambda w: {k[9:]: v for k, v in w.items() if k.startswith('backbone.')},
        lambda w: dict(
            state_dict={**{f'architecture.{k}': v for k, v in w.items()}, 'x': torch.ones(1)}
        ),
    ],
)
def test_forms_of_the_checkpoint(wrap, student, tmp_path):
    torch.save(wrap(student), tmp_path / 'student.pth')
    model = distilled()
    DistilledInitHook(str(tmp_path / 'student.pth'), grid=(14, 14)).load(model)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, student[f'backbone.{name}']), name


def test_plain_vit_takes_over_the_class_head(student, checkpoint):
    model = plain()
    DistilledInitHook(checkpoint, head=True).load(model)
    assert torch.equal(model.head.layers.head.weight, student['head.layers.head.weight'])


def test_added_distillation_head_is_taken_over_or_missed(tmp_path):
    path = str(tmp_path / 'vit.pth')
    first, second = (distilled(type='VisionTransformer') for _ in range(2))
    assert not torch.equal(second.head_dist.weight, first.head_dist.weight)
    torch.save(first.state_dict(), path)
    DistilledInitHook(path, head=True, grid=(14, 14)).load(second)
    assert torch.equal(second.head_dist.weight, first.head_dist.weight)
    torch.save({k: v for k, v in first.state_dict().items() if 'head_dist' not in k}, path)
    with pytest.raises(ValueError, match='lacks 2 of the 2 weights of model.head_dist.*random'):
        DistilledInitHook(path, head=True, grid=(14, 14)).load(second)


def test_grid_comes_from_the_config(student, tmp_path):
    """36 patches are 6 × 6 or 4 × 9: the checkpoint's config or the hook says it, or nothing."""
    embed = torch.randn(1, 2 + 36, WIDTH)
    state, path = {**student, 'backbone.pos_embed': embed}, str(tmp_path / 'a.pth')
    wide = resize_pos_embed(embed, (4, 9), (14, 14), mode='bicubic', num_extra_tokens=2)
    torch.save(dict(state_dict=state), path)
    with pytest.raises(ValueError, match='36 patches on an unknown grid.*Set "grid" of the hook'):
        DistilledInitHook(path).load(distilled())
    model = distilled()
    DistilledInitHook(path, grid=(4, 9)).load(model)
    assert torch.equal(model.backbone.pos_embed, wide)
    torch.save(dict(state_dict=state, meta=dict(cfg=GRID.format((64, 144)))), path)
    model = distilled()
    DistilledInitHook(path).load(model)
    assert torch.equal(model.backbone.pos_embed, wide)
    # Equal shapes are no proof of equal grids, here 9 × 4 and 6 × 6 patches.
    torch.save(dict(state_dict=state), path)
    with pytest.raises(ValueError, match=r'on a grid of \(6, 6\): 36 patches on an unknown grid'):
        DistilledInitHook(path).load(distilled(img_size=96))
    state['backbone.pos_embed'] = embed = torch.randn(1, 2 + 196, WIDTH)
    torch.save(dict(state_dict=state, meta=dict(cfg=GRID.format((112, 448)))), path)
    DistilledInitHook(path).load(model)
    tall = resize_pos_embed(embed, (7, 28), (14, 14), mode='bicubic', num_extra_tokens=2)
    assert torch.equal(model.backbone.pos_embed, tall)
    with pytest.raises(ValueError, match='on a grid of 6 × 6'):
        DistilledInitHook(path, grid=(6, 6)).load(model)


def test_refusals(student, checkpoint, tmp_path):
    def load(content=None, model=None, head=False):
        path = checkpoint
        if content is not None:
            path = str(tmp_path / 'other.pth')
            torch.save(content, path)
        DistilledInitHook(path, head=head).load(distilled() if model is None else model)

    for empty in (None, ''):
        with pytest.raises(ValueError, match='has no checkpoint.*random weights'):
            DistilledInitHook(empty).load(distilled())
    with pytest.raises(ValueError, match='nowhere.pth.*cannot be read'):
        DistilledInitHook('nowhere.pth').load(distilled())
    with pytest.raises(ValueError, match='lacks 31 of the 31 weights of model.backbone'):
        load({'backbone.conv1.weight': torch.ones(1)})
    lacking = {k: v for k, v in student.items() if k != 'backbone.ln1.weight'}
    with pytest.raises(ValueError, match='lacks 1 of .*random.*"backbone.ln1.weight"'):
        load(lacking)
    with pytest.raises(ValueError, match='lacks 1 of .*"backbone.dist_token"'):
        load(plain().state_dict())
    with pytest.raises(ValueError, match='holds .*no place.*"backbone.layers.1'):
        load(model=distilled(arch={**ARCH, 'num_layers': 1}))
    wide = {**ARCH, 'feedforward_channels': 96}
    with pytest.raises(ValueError, match='shape.*expected'):
        load(model=distilled(arch=wide))
    with pytest.raises(ValueError, match='"backbone.pos_embed".*cannot be interpolated'):
        state = {**student, 'backbone.pos_embed': torch.zeros(1, 2 + 190, WIDTH)}
        load(state)
    ten = MODELS.build(dict(type='DeiTClsHead', num_classes=10, in_channels=WIDTH))
    model = distilled()
    model.head = ten
    with pytest.raises(ValueError, match='"head.layers.head.* has shape .1000, 24.*.10, 24.'):
        load(model=model, head=True)


@pytest.mark.parametrize('missing', ['work_dirs/nowhere.pth', None])
def test_nothing_trains_from_random_weights(missing, tmp_path, monkeypatch):
    make('deit-s_cars', tmp_path / 'data', monkeypatch)
    runner = Runner.from_cfg(reduce('deit-s_cars', tmp_path / 'data', missing, tmp_path))
    with pytest.raises(ValueError, match='DistilledInitHook'):
        runner.train()
    assert runner.iter == 0


def test_two_sources_of_weights(checkpoint, tmp_path, monkeypatch):
    make('deit-s_cars', tmp_path / 'data', monkeypatch)
    cfg = reduce('deit-s_cars', tmp_path / 'data', checkpoint, tmp_path)
    cfg.load_from = checkpoint
    with pytest.raises(ValueError, match='load_from=.* take one out'):
        Runner.from_cfg(cfg).train()


def test_resumed_run_keeps_its_weights(checkpoint):
    class Resumed:
        iter, cfg, model = 7, Config(), distilled()

    before = {k: v.clone() for k, v in Resumed.model.state_dict().items()}
    DistilledInitHook(checkpoint).before_train(Resumed)
    assert all(torch.equal(v, before[k]) for k, v in Resumed.model.state_dict().items())


def test_inaturalist(tmp_path):
    make_inat(tmp_path, 2019)
    dataset = DATASETS.build(
        dict(type='INaturalist', data_root=str(tmp_path), year=2019, split='val')
    )
    assert [d['gt_label'] for d in dataset] == [1, 3]
    assert dataset[1]['img_path'] == str(tmp_path / 'train_val2019/Plantae/3/val1.jpg')
    assert dataset.CLASSES[0] == 'species 0' and dataset.CLASSES[1009] == 'species 1009'

    def build(**changes):
        args = dict(type='INaturalist', data_root=str(tmp_path), year=2019, split='val')
        return DATASETS.build({**args, **changes})

    with pytest.raises(ValueError, match='year is 2021'):
        build(year=2021)
    with pytest.raises(ValueError, match="split is 'test'"):
        build(split='test')
    with pytest.raises(ValueError, match='val2018.json" cannot be read'):
        build(year=2018)
    file = tmp_path / 'val2019.json'
    content = json.loads(file.read_text())
    for change, message in (
        (dict(annotations=None), 'no list "annotations"'),
        (dict(annotations=[]), 'annotates no images'),
        (dict(images=content['images'][:1]), 'annotates image 900'),
        (dict(categories=content['categories'][:3]), 'annotates category 1'),
    ):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=message):
            build()
    file.write_text('{')
    with pytest.raises(ValueError, match='is no JSON'):
        build()
