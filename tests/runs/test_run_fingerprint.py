"""A checkpoint says what its run depends on; a resume with another value is refused by key."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop
from models import CONFIGS, build
from tool_runs import ROOT

import mmcskd  # noqa: F401, registers everything
from mmcskd.app.runner import build_runner
from mmcskd.runs.run_fingerprint import (
    PARTS,
    UNRELATED,
    check_changes,
    differences,
    plain,
    run_fingerprint,
)
from mmcskd.visualization.run_curves import read_curves

DEMO = ROOT / 'configs' / 'demo' / 'cskd_vit_resnet18.py'
SHIPPED = ['cskd_deit-s_regnety.py', 'none_deit-s.py', 'demo/cskd_vit_resnet18.py']
CLASSES = ('cat', 'dog', 'eel')


class Logger:
    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


def like_a_runner(cfg, images=12, classes=CLASSES, model=None):
    class Images(list):
        metainfo = dict(classes=classes)

    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    return SimpleNamespace(
        cfg=cfg,
        train_loop=loop,
        max_epochs=cfg.train_cfg.max_epochs,
        train_dataloader=SimpleNamespace(dataset=Images(range(images))),
        model=model or SimpleNamespace(),
        logger=Logger(),
    )


def leaves(part, path=()):
    """Paths of all plain values in a config."""
    inner = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in inner:
        if isinstance(value, (dict, list, tuple)) and value:
            yield from leaves(value, (*path, key))
        elif isinstance(value, (int, float, str)):
            yield (*path, key)


@pytest.mark.parametrize('name', SHIPPED)
def test_each_value_of_a_shipped_config_counts(name):
    """Each one changed by itself is the one difference, unless it is said to change nothing."""
    cfg = Config.fromfile(CONFIGS / name)
    then, tried = run_fingerprint(like_a_runner(cfg)), 0
    for part in PARTS:
        for path in leaves({part: cfg.get(part) or {}}):
            other = json.loads(json.dumps(cfg.to_dict(), default=str))
            place = other
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = place[path[-1]] + 1 if path[-1] == 'max_epochs' else 'another'
            if path == ('train_cfg', 'max_epochs'):
                assert place['max_epochs'] == cfg.train_cfg.max_epochs + 1
            now = run_fingerprint(like_a_runner(Config(other)))
            found = [key for key, _, _ in differences(then, now)]
            named = '.'.join(map(str, path))
            assert found == ([] if {*map(str, path)} & {*UNRELATED} else [named])
            tried += 1
    assert tried > 50


def test_the_data_count():
    cfg = Config.fromfile(DEMO)
    then = run_fingerprint(like_a_runner(cfg))
    fewer = run_fingerprint(like_a_runner(cfg, images=11))
    swapped = run_fingerprint(like_a_runner(cfg, classes=('dog', 'cat', 'eel')))
    assert [*differences(then, fewer)] == [('number of images of train_dataloader.dataset', 12, 11)]
    assert [*differences(then, swapped)] == [
        ('classes of train_dataloader.dataset.0', 'cat', 'dog'),
        ('classes of train_dataloader.dataset.1', 'dog', 'cat'),
    ]


def test_a_model_says_what_stands_for_a_path():
    """Also one that is built already."""
    cfg = Config.fromfile(DEMO)
    cfg.model.teacher_ckpt = 'here.pth'
    model = SimpleNamespace(depends_on=lambda: {'model.teacher_ckpt': 'digest'})
    assert run_fingerprint(like_a_runner(cfg, model=model))['model']['teacher_ckpt'] == 'digest'
    cfg._cfg_dict['model'] = torch.nn.Identity()
    found = run_fingerprint(like_a_runner(cfg, model=model))
    assert found['model'] == dict(teacher_ckpt='digest')


def test_plain_values():
    """What a checkpoint may hold, and what is equal to itself."""
    given = dict(a=(1, 2.0), b=float('nan'), c=torch.nn.Linear, d=None, num_workers=3)
    assert plain(given, UNRELATED) == dict(
        a=[1, 2.0], b='nan', c='torch.nn.modules.linear.Linear', d=None
    )
    assert plain(given) == plain(given)


@pytest.mark.parametrize(
    'allowed, refused',
    [
        ((), ['custom_hooks.0.schedule', 'train_cfg.max_epochs']),
        (('train_cfg.max_epochs',), ['custom_hooks.0.schedule']),
        (('train_cfg', 'custom_hooks.0'), []),
        (('train_cf', 'custom_hooks.0.sched'), ['custom_hooks.0.schedule', 'train_cfg.max_epochs']),
    ],
)
def test_what_is_allowed(allowed, refused):
    cfg = Config.fromfile(DEMO)
    cfg.train_cfg.max_epochs = 3
    then = run_fingerprint(like_a_runner(cfg))
    cfg.train_cfg.max_epochs = 6
    cfg.custom_hooks[0].schedule = 'cos'
    runner = like_a_runner(cfg)
    if refused:
        with pytest.raises(ValueError, match='is of another run') as error:
            check_changes(runner, then, allowed)
        assert str(error.value).endswith(f'exact_resume.allowed_changes={refused}.')
        longer = '"train_cfg.max_epochs" was 3 and is 6 now' in str(error.value)
        assert longer == ('train_cfg.max_epochs' in refused)
    else:
        check_changes(runner, then, allowed)
        (line,) = runner.logger.warnings
        assert 'Resumed as another run, by allowed_changes' in line
        assert '"custom_hooks.0.schedule" was "linear" and is "cos" now' in line


@pytest.mark.parametrize('then', [None, 'x'])
def test_a_checkpoint_without_a_fingerprint(then):
    runner = like_a_runner(Config.fromfile(DEMO))
    check_changes(runner, then, ())
    (line,) = runner.logger.warnings
    assert 'of a release that did not save what a run depends on' in line


def test_another_release_compares_what_both_know():
    runner = like_a_runner(Config.fromfile(DEMO))
    then = dict(run_fingerprint(runner), later=1)
    del then['optim_wrapper']
    check_changes(runner, then, ())
    assert runner.logger.warnings == []


def small(folder, **changes):
    """The demo, 2 epochs of 2 iterations, with a teacher in a file."""
    cfg = Config.fromfile(DEMO)
    cfg.model.teacher_ckpt = str(folder / 'a.pth')
    cfg.train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.length = 16
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.work_dir, cfg.launcher, cfg.train_cfg.max_epochs = str(folder / 'run'), 'none', 2
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg, experiment):
    cfg.experiment_name = f'{cfg.work_dir}_{experiment}'.replace('/', '_')
    build_runner(cfg).train()


@pytest.mark.slow
def test_runs(tmp_path):
    """A longer run and another teacher under the same path are refused; other speed is not."""
    teacher = Config.fromfile(DEMO).model.teacher
    torch.save(build(teacher).state_dict(), tmp_path / 'a.pth')
    train(small(tmp_path), 'first')
    with pytest.raises(ValueError, match=r'"train_cfg\.max_epochs" was 2 and is 4 now'):
        train(small(tmp_path, resume=True, **{'train_cfg.max_epochs': 4}), 'longer')
    other = build(teacher).state_dict()
    (tmp_path / 'a.pth').rename(tmp_path / 'moved.pth')
    torch.save(other, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'"model\.teacher_ckpt" was "\w{12}" and is "\w{12}" now'):
        train(small(tmp_path, resume=True), 'other_teacher')
    moved = {
        'model.teacher_ckpt': str(tmp_path / 'moved.pth'),
        'default_hooks.exact_resume.allowed_changes': ['train_cfg.max_epochs'],
        'train_cfg.max_epochs': 3,
    }
    first = read_curves(tmp_path / 'run')['loss'].steps
    train(small(tmp_path, resume=True, **moved), 'allowed')
    assert (tmp_path / 'run' / 'epoch_3.pth').is_file()
    # One run, and another one that begins anew.
    assert read_curves(tmp_path / 'run')['loss'].steps == [1, 2, 3, 4, 5, 6]
    assert first == [1, 2, 3, 4]
    time.sleep(1)  # a start is named by its second
    train(small(tmp_path), 'anew')
    assert read_curves(tmp_path / 'run')['loss'].steps == [1, 2, 3, 4]
