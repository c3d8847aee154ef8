"""What can be said of a run when it is built is said before its first iteration."""

import pytest
from fault_runs import Pictures, runner
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from models import NUM_CLASSES, algorithm_config

from mmcskd.app.runner import naming


@DATASETS.register_module()
class Labelled(Pictures):
    def get_gt_labels(self):
        return [index % NUM_CLASSES for index in range(self.length)]


@DATASETS.register_module()
class Unlabelled(Pictures):
    def get_gt_labels(self):
        raise KeyError('gt_label')


@DATASETS.register_module()
class Twice(Pictures):
    """A dataset inside others."""

    def __init__(self, dataset):
        super().__init__()
        inner = DATASETS.build(dataset)
        self.datasets = [inner, inner]


@DATASETS.register_module()
class Four(Pictures):
    """Images of four channels."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return dict(sample, inputs=sample['inputs'][[0, 1, 2, 0]])


def normalised(numbers):
    kind = dict(type='mmpretrain.ClsDataPreprocessor', mean=numbers, std=[1.0] * len(numbers))
    return algorithm_config(data_preprocessor=kind)


def validated(**evaluator):
    return dict(
        val_dataloader=dict(
            batch_size=4,
            dataset=dict(type='Pictures', length=4),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(),
        val_evaluator={'type': 'Accuracy', **evaluator},
    )


def multiplied(**keys):
    """Multiples by the names of weights."""
    optimizer = dict(type='AdamW', lr=0.01, weight_decay=0.1)
    optim = dict(optimizer=optimizer, paramwise_cfg=dict(custom_keys=keys))
    return dict(optim=optim, cfg=Config(dict(optim_wrapper=optim)))


def switching(epoch):
    return dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=epoch, batch_augments=None)])


def mixing(classes):
    augments = dict(augments=[dict(type='Mixup', alpha=0.8)])
    kind = dict(type='mmpretrain.ClsDataPreprocessor', batch_augments=augments)
    model = algorithm_config(data_preprocessor=dict(kind, num_classes=classes))
    model['architecture']['head']['loss'] = dict(type='CrossEntropyLoss', use_soft=True)
    return dict(model=model)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            validated(topk=(1, 9)),
            r'val_evaluator\.topk is \(1, 9\), .* set it to \(1,\)',
        ),
        (
            dict(validated(), checkpoint=dict(save_best='accuracy/top3')),
            r'save_best is "accuracy/top3", but val_evaluator gives accuracy/top1',
        ),
        (
            multiplied(**{'.pos_embd': dict(decay_mult=0.0)}),
            r'custom_keys has "\.pos_embd", but no weight has that name\. Nearest: "pos_embed"',
        ),
        (
            multiplied(**{'backbone.stem': dict(lr_mult=0.1)}),
            r'custom_keys has "backbone\.stem", but no weight has that name\. The first one is "a',
        ),
        (
            dict(validated(), hooks=[dict(type='EarlyStoppingHook', monitor='accuracy/top3')]),
            r'EarlyStoppingHook in custom_hooks: monitor is "accuracy/top3", but val_eval',
        ),
        (
            dict(
                validated(),
                param_scheduler=[dict(type='ReduceOnPlateauLR', monitor='accuracy/top3')],
            ),
            r'param_scheduler: monitor is "accuracy/top3", but val_evaluator gives accuracy/top1',
        ),
        (
            dict(validated(type='ConfusionMatrix'), checkpoint=dict(save_best='auto')),
            r'save_best is "auto", .* gives a table, ConfusionMatrix: put another before it',
        ),
        (
            dict(hooks=[switching(2)]),
            r'SwitchRecipeHook in custom_hooks: schedule has an action_epoch of 2, .* epoch 1: set',
        ),
        (
            validated(topk=0),
            r'val_evaluator\.topk is \(0,\), but there are 7 classes: set it to 1 to 7',
        ),
        (
            dict(checkpoint=dict(interval=9, save_last=False)),
            r'checkpoint saves nothing: with interval=9, save_begin=0 and save_last=False',
        ),
        (mixing(1000), r'data_preprocessor\.num_classes is 1000, .* has 7 classes: set it to 7'),
        (dict(dataset=dict(type='Unlabelled')), 'gives no .gt_label. .* set with_label=True'),
        (
            dict(dataset=dict(type='Twice', dataset=dict(type='Labelled')), classes=5),
            r'train_dataloader\.dataset has 4 labels outside of 0 to 4',
        ),
        (
            dict(dataset=dict(type='Four'), model=normalised([0.0] * 3)),
            r'have 4 channels, but data_preprocessor\.mean has numbers for 3: set',
        ),
        (
            dict(dataset=dict(type='Four'), model=normalised([0.0])),
            r'have 4 channels, but the model \(backbone\.in_channels\) takes 3: set',
        ),
    ],
)
def test_refused(changes, message, tmp_path):
    classes = changes.pop('classes', None)
    if classes:
        model = algorithm_config()
        for part in ('architecture', 'teacher'):
            model[part]['head']['num_classes'] = classes
        changes['model'] = model
    hooks = changes.pop('hooks', ())
    built = runner(tmp_path, *hooks, epochs=1, kind=naming(Runner), **changes)
    with pytest.raises(ValueError, match=message):
        built.train()
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize(
    'changes',
    [
        mixing(NUM_CLASSES),
        dict(hooks=[switching(1)]),
        dict(validated(topk=(1, 3)), checkpoint=dict(save_best='accuracy/top3')),
        dict(dataset=dict(type='Twice', dataset=dict(type='Labelled'))),
        # Recipes of whole families keep weights from decaying that few models have.
        multiplied(backbone=dict(lr_mult=0.1), absolute_pos_embed=dict(decay_mult=0.0)),
    ],
)
def test_taken(changes, tmp_path):
    hooks = changes.pop('hooks', ())
    runner(tmp_path, *hooks, epochs=1, kind=naming(Runner), **changes).train()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_auto_scale_lr_counts_what_is_accumulated(tmp_path):
    """2 images, 4 times: a base of 8 leaves the learning rate as it is."""
    scale = dict(enable=True, base_batch_size=8)
    built = runner(
        tmp_path, kind=naming(Runner), epochs=1, accumulate=4, auto_scale_lr=scale,
        param_scheduler=None,
    )  # fmt: skip
    built.train()
    assert built.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.01)
