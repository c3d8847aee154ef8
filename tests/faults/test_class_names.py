"""The same classes in another order are refused wherever both sides have names."""

import pytest
import torch
from fault_runs import Pictures, runner
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from models import NUM_CLASSES, algorithm_config, build, teacher_config

from mmcskd.app.runner import naming
from mmcskd.bank.bank_writer import BankWriter
from mmcskd.checks.class_names import check_class_names, checkpoint_classes
from mmcskd.runs.weights import load_weights

NAMES = ('ant', 'bee', 'cat', 'dog', 'emu', 'fox', 'gnu')
MOVED = ('bee', 'ant', *NAMES[2:])


@DATASETS.register_module()
class NamedPictures(Pictures):
    def __init__(self, classes):
        super().__init__()
        self.metainfo = dict(classes=classes)


def test_the_same_or_fewer_at_the_end():
    assert check_class_names(dict(a=NAMES, b=list(NAMES), c=None, d=NAMES[:4])) == []
    assert check_class_names(dict(a=('tench, Tinca tinca',), b=('Tench',))) == []


@pytest.mark.parametrize(
    'others, message',
    [
        (MOVED, 'Class 0 is "ant" in a and "bee" in b'),
        (NAMES[1:], 'Class 0 is "ant" in a and "bee" in b'),  # a folder that lacks a class
        ((*NAMES[:6], 'ant'), 'Class 6 is "gnu" in a and "ant" in b'),
        ((*NAMES[:6], 'yak'), 'Class 6 is "gnu" in a and "yak" in b, 1 of 7 differ'),
    ],
)
def test_other_classes(others, message):
    with pytest.raises(ValueError, match=message):
        check_class_names(dict(a=NAMES, b=others))


def test_what_cannot_be_compared_is_said():
    (said,) = check_class_names(dict(a=('n01440764', 'n01443537'), b=('tench', 'goldfish')))
    assert said.startswith('2 of 2 classes have other names: class 0 is "n01440764" in a')
    many = [f'class {i}' for i in range(100)]
    (said,) = check_class_names(dict(a=many, b=[*many[:99], 'klass 99']))
    assert said.startswith('1 of 100')


def run(folder, train=NAMES, teacher=None, val=None, load=None, **changes):
    """A naming Runner up to its first iteration."""
    folder.mkdir()
    if teacher is not None:
        state = build(teacher_config()).state_dict()
        meta = dict(dataset_meta=dict(classes=teacher))
        torch.save(dict(state_dict=state, meta=meta), folder / 't.pth')
        model = algorithm_config(teacher_ckpt=str(folder / 't.pth'), random_teacher=False)
        changes.update(model=model)
    if load is not None:
        state = build(algorithm_config()).state_dict()
        meta = dict(dataset_meta=dict(classes=load))
        torch.save(dict(state_dict=state, meta=meta), folder / 'start.pth')
        changes.setdefault('load_from', str(folder / 'start.pth'))
    if val is not None:
        changes.update(
            val_dataloader=dict(
                batch_size=2,
                dataset=dict(type='NamedPictures', classes=val),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_cfg={},
            val_evaluator=dict(type='Accuracy'),
        )
    dataset = dict(type='NamedPictures', classes=train)
    runner(folder, dataset=dataset, epochs=1, kind=naming(Runner), **changes).train()


@pytest.mark.parametrize(
    'sides, places',
    [
        (dict(teacher=MOVED), 'model.teacher_ckpt'),
        (dict(val=NAMES[1:]), 'val_dataloader.dataset'),
        (dict(load=MOVED), 'load_from=".*start.pth"'),
        (
            dict(load=MOVED, load_hook=True),
            r'DistilledInitHook.checkpoint=".*start.pth" \(in custom_hooks\)',
        ),
    ],
)
def test_a_run_is_refused_before_it_starts(sides, places, tmp_path):
    if sides.pop('load_hook', False):
        path = str(tmp_path / 'run' / 'start.pth')
        hook = dict(type='mmrazor.DistilledInitHook', checkpoint=path, head=True, grid=(8, 8))
        sides.update(custom_hooks=[dict(type='mmrazor.CKFHook'), hook], load_from=None)
    with pytest.raises(ValueError, match=f'Class 0 is "ant" in train_dataloader.dataset.*{places}'):
        run(tmp_path / 'run', **sides)
    assert not list((tmp_path / 'run').glob('epoch_*'))


@pytest.mark.parametrize('sides', [dict(teacher=NAMES, val=NAMES, load=NAMES), dict(train=None)])
def test_the_same_run_goes_through(sides, tmp_path):
    run(tmp_path / 'run', **sides)
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize('key, value', [('dataset_meta', dict(classes=NAMES)), ('CLASSES', NAMES)])
def test_what_a_checkpoint_says(key, value, tmp_path):
    model = build(teacher_config())
    content = dict(state_dict=model.state_dict(), meta={key: value})
    assert checkpoint_classes(content) == NAMES
    torch.save(content, tmp_path / 'a.pth')
    load_weights(model, str(tmp_path / 'a.pth'))
    assert list(model._dataset_meta['classes']) == list(NAMES) and len(NAMES) == NUM_CLASSES
    assert checkpoint_classes(dict(meta=dict(dataset_meta='x'))) is None


def test_an_evaluation_is_refused(tmp_path):
    """As tools/test.py evaluates student and teacher."""
    model = build(teacher_config())
    model._dataset_meta = dict(classes=MOVED)
    tested = naming(Runner)(
        model,
        str(tmp_path),
        test_dataloader=dict(
            batch_size=2,
            dataset=dict(type='NamedPictures', classes=NAMES),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        test_cfg={},
        test_evaluator=dict(type='mmpretrain.Accuracy'),
        experiment_name=f'{tmp_path.name}_test',
    )
    with pytest.raises(ValueError, match='Class 0 is "ant" in test_dataloader.dataset and "bee"'):
        tested.test()


def test_a_bank_is_refused(tmp_path):
    dataset = dict(type='NamedPictures', classes=NAMES)
    cfg = runner(tmp_path, dataset=dataset, kind=lambda **parts: Config(parts))
    meta = dict(dataset_meta=dict(classes=MOVED))
    torch.save(dict(state_dict=build(teacher_config()).state_dict(), meta=meta), tmp_path / 't.pth')
    cfg.model.update(teacher_ckpt=str(tmp_path / 't.pth'), random_teacher=False)
    with pytest.raises(
        ValueError, match='train_dataloader.dataset and "bee" in model.teacher_ckpt'
    ):
        BankWriter(cfg, tmp_path / 'bank')
