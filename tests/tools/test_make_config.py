import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from models import build
from PIL import Image
from tool_runs import ROOT, load_tool

from mmcskd.student.stock_model import stock_model

RESNET = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
DEIT = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'
DISTILLED = 'mmpretrain::deit/deit-tiny-distilled_4xb256_in1k.py'


@pytest.fixture(scope='module')
def tool():
    return load_tool('make_config')


@pytest.mark.parametrize(
    'student, terms', [(DEIT, {'base', 'cskd'}), (DISTILLED, {'base', 'deit', 'cskd'})]
)
def test_a_pair_takes_a_step(tool, tmp_path, student, terms):
    out = tmp_path / 'new' / 'pair.py'
    tool.main([str(out), '--teacher', RESNET, '--student', student])
    assert len(out.read_text().splitlines()) < 20
    cfg = Config.fromfile(out)
    servers = ('https://download.openmmlab.com/', 'https://mmassets.onedl.ai/')
    assert cfg.model.teacher_ckpt.startswith(servers)
    assert 'resnet18_8xb32_in1k' in cfg.model.teacher_ckpt
    assert cfg.train_cfg.max_epochs == 300  # of the recipe
    cfg.model.update(teacher_ckpt=None, random_teacher=True)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(cfg.model).train()
    assert type(algorithm.student).__name__ == 'CSKDClassifier'
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(0.5)
    samples = [DataSample().set_gt_label(i) for i in range(2)]
    losses = algorithm.loss(torch.randn(2, 3, 224, 224), samples)
    assert {name[5:] for name in losses if name.startswith('loss_')} == terms
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(p.grad is not None for p in algorithm.parameters() if p.requires_grad)


def test_local_files_serve_as_well(tool, tmp_path):
    """In a folder whose name has quotes, with classes that the recipe does not have."""
    home = tmp_path / 'my "own" kid\'s'
    home.mkdir()
    for name, base in (('cnn', RESNET), ('vit', DEIT)):
        (home / f'{name}.py').write_text(
            f"_base_ = '{base}'\nmodel = dict(head=dict(num_classes=3))\n"
        )
    teacher = build(Config(dict(model=stock_model(str(home / 'cnn.py'), {}))).model)
    torch.save(teacher.state_dict(), home / 'cnn.pth')
    out, recipe = home / 'pair.py', ROOT / 'configs' / 'cskd_deit-ti_regnety.py'
    tool.main([
        str(out), '--teacher', str(home / 'cnn.py'), '--student', str(home / 'vit.py'),
        '--teacher-ckpt', str(home / 'cnn.pth'), '--recipe', str(recipe),
    ])  # fmt: skip
    cfg = Config.fromfile(out)
    assert cfg.model.teacher_ckpt == str(home / 'cnn.pth')
    assert cfg.model.architecture.cfg_path == str(home / 'vit.py')
    assert cfg.optim_wrapper.optimizer.lr == 1e-3  # of that recipe
    assert cfg.data_preprocessor.num_classes == 3 and cfg.test_evaluator.topk == (1,)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    assert torch.equal(algorithm.teacher.head.fc.weight, teacher.head.fc.weight)


@pytest.fixture
def own(tmp_path):
    """Pictures of three classes, a teacher trained on them and a student's first weights."""
    draw = np.random.default_rng(0)
    for label in 'abc':
        for number in range(4):
            path = tmp_path / 'photos' / label / f'{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(path)
    for name, config, classes in (('cnn', RESNET, 3), ('vit', DISTILLED, 1000)):
        model = stock_model(config, dict(head=dict(num_classes=classes)))
        saved = dict(state_dict=build(model).state_dict(), meta=dict(grid=[14, 14]))
        torch.save(saved, tmp_path / f'{name}.pth')
    return tmp_path


def test_own_pictures(tool, own, capsys):
    out = own / 'pair.py'
    tool.main([
        str(out), '--data', str(own / 'photos'), '--teacher', RESNET, '--student', DISTILLED,
        '--teacher-ckpt', str(own / 'cnn.pth'), '--init', str(own / 'vit.pth'), '--epochs', '7',
    ])  # fmt: skip
    assert '12 pictures of 3 classes' in capsys.readouterr().out
    cfg = Config.fromfile(out)
    assert cfg.model.architecture.head == dict(num_classes=3, loss=dict(loss_weight=0.5))
    assert cfg.model.teacher.head == dict(num_classes=3) and cfg.data_preprocessor.num_classes == 3
    assert cfg.model.distiller == cfg.cskd_plus_distiller
    assert cfg.train_cfg.max_epochs == 7
    assert [hook.type for hook in cfg.custom_hooks] == ['mmrazor.DistilledInitHook']
    assert cfg.custom_hooks[0].checkpoint == str(own / 'vit.pth')
    for split, size in dict(train=6, val=3, test=3).items():
        dataset = DATASETS.build(dict(cfg[f'{split}_dataloader'].dataset, _scope_='mmpretrain'))
        assert len(dataset) == size and dataset.CLASSES == ['a', 'b', 'c']
        assert dataset[0]['inputs'].shape == (3, 224, 224)


@pytest.mark.slow
def test_own_pictures_with_published_weights(tool, own):
    given = [str(own / 'pair.py'), '--data', str(own / 'photos'), '--force', '--teacher', RESNET]
    with pytest.raises(ValueError, match='has weights for 1000 classes, not 3: train it on your'):
        tool.main([*given, '--student', DEIT])
    given += ['--teacher-ckpt', str(own / 'cnn.pth'), '--student']
    tool.main([*given, DEIT])
    cfg = Config.fromfile(own / 'pair.py')
    start = cfg.custom_hooks[0]
    assert 'deit-tiny_pt' in start.checkpoint and start.grid == (14, 14)
    assert cfg.train_cfg.max_epochs == 30
    tool.main([*given, DEIT, '--init', 'none'])
    assert Config.fromfile(own / 'pair.py').custom_hooks == []
    tool.main([*given, 'mmpretrain::poolformer/poolformer-s12_32xb128_in1k.py'])
    assert 'poolformer-s12' in Config.fromfile(own / 'pair.py').custom_hooks[0].checkpoint
    for options, message in (
        ([DEIT, '--num-classes', '4'], '--num-classes 4, but --data has 3 classes'),
        ([DEIT, '--epochs', '2'], '--epochs 2: the recipe warms up for 2, expected more'),
        ([DEIT, '--init', str(own / 'cnn.pth')], 'lacks 150 of the 150 weights of model.backbone'),
    ):
        with pytest.raises(ValueError, match=message):
            tool.main([*given, *options])


@pytest.mark.slow
def test_classes_without_data(tool, own):
    """The recipe keeps its own data and first weights."""
    tool.main([
        str(own / 'pair.py'), '--num-classes', '3', '--teacher', RESNET, '--student', DEIT,
        '--teacher-ckpt', str(own / 'cnn.pth'),
    ])  # fmt: skip
    cfg = Config.fromfile(own / 'pair.py')
    assert cfg.model.architecture.head.num_classes == cfg.model.teacher.head.num_classes == 3
    assert cfg.data_preprocessor.num_classes == 3 and cfg.val_evaluator.topk == (1,)
    assert cfg.train_dataloader.dataset.data_root == 'data/imagenet'
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'mmrazor.CKFHook']


def test_weights_are_found_by_the_config_that_the_metafile_names(tool, tmp_path, capsys):
    """A config that weights of other names fit, and each of them by its name."""
    out = tmp_path / 'pair.py'
    given = [str(out), '--force', '--student', DEIT, '--teacher']
    tool.main([*given, 'mmpretrain::efficientnet/efficientnet-b0_8xb32_in1k.py'])
    assert (
        'efficientnet-b0_3rdparty-ra-noisystudent_in1k' in Config.fromfile(out).model.teacher_ckpt
    )
    name = 'efficientnet-b0_3rdparty_8xb32-aa_in1k'
    assert f'{name} (77.26 %)' in capsys.readouterr().out
    tool.main([*given, name])
    model = Config.fromfile(out).model
    assert name in model.teacher_ckpt
    assert model.teacher.cfg_path == 'mmpretrain::efficientnet/efficientnet-b0_8xb32_in1k.py'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['pair.txt', '--teacher', RESNET, '--student', DEIT], r'OUT ".*pair\.txt": configs end'),
        (['there.py', '--teacher', RESNET, '--student', DEIT], r'OUT ".*there\.py" exists'),
        (['pair.py', '--teacher', 'mmpretrain::resnet/resnet19.py', '--student', DEIT], 'resnet19'),
        (['pair.py', '--teacher', 'here.py', '--student', DEIT], r'publishes no weights'),
        (['pair.py', '--teacher', 'resnet19', '--student', DEIT], '--teacher "resnet19" is no'),
        (
            ['pair.py', '--teacher', RESNET, '--student', DEIT, '--teacher-ckpt', 'gone.pth'],
            'gone.pth',
        ),
        (
            ['pair.py', '--teacher', 'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
             '--student', DEIT],
            '--student has 1000 classes and --teacher 10',
        ),
    ],
)  # fmt: skip
def test_mistakes(tool, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'there.py').write_text('kept')
    (tmp_path / 'here.py').write_text(f"_base_ = '{RESNET}'\n")
    with pytest.raises(ValueError, match=message):
        tool.main(arguments)
    assert (tmp_path / 'there.py').read_text() == 'kept'
    assert not (tmp_path / 'pair.py').exists()
