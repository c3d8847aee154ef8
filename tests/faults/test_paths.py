"""Fault: paths and numbers in a checkpoint that lead elsewhere. Expected: nothing is touched."""

import shutil

import pytest
import torch
from fault_runs import Lines, runner
from mmengine.evaluator import BaseMetric, Evaluator

from mmcskd.runs.safe_loading import read

HOOKS = ['mmrazor.AtomicCheckpointHook', 'CheckpointHook']


class Better(BaseMetric):
    """A metric that rises by one each time."""

    value = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        type(self).value += 1
        return dict(acc=self.value, other=self.value)


def validated(work_dir, epochs, hook=HOOKS[0], save_best='acc', **options):
    return runner(
        work_dir,
        epochs=epochs,
        checkpoint=dict(type=hook, save_best=save_best, rule='greater', max_keep_ckpts=2),
        val_dataloader=dict(
            batch_size=4,
            dataset=dict(type='Pictures', length=4),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(),
        val_evaluator=Evaluator(Better()),
        **options,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp('trained')
    validated(place / 'a', 2).train()
    return place


@pytest.fixture
def place(trained, tmp_path):
    """The run ``a`` of two epochs, and a folder with a file that are nobody's business."""
    shutil.copytree(trained / 'a', tmp_path / 'a')
    (tmp_path / 'victim').mkdir()
    (tmp_path / 'victim' / 'thesis.txt').write_text('x')
    (tmp_path / 'victim' / 'best_acc_epoch_2.pth').mkdir()
    moved(tmp_path)
    return tmp_path


def told(place, **info):
    """The second checkpoint, with other things in its message hub."""
    path = place / 'a' / 'epoch_2.pth'
    content = read(path)
    content['message_hub']['runtime_info'].update(info)
    torch.save(content, path)
    return str(path)


def moved(place):
    """Its paths are those of where it lies now."""
    told(
        place, best_ckpt=str(place / 'a' / 'best_acc_epoch_2.pth'),
        last_ckpt=str(place / 'a' / 'epoch_2.pth'),
    )  # fmt: skip
    (place / 'a' / 'last_checkpoint').write_text(str(place / 'a' / 'epoch_2.pth'))


def there(place, name):
    return {str(path.relative_to(place / name)) for path in (place / name).rglob('*')}


@pytest.mark.parametrize('hook', HOOKS)
def test_resumed_into_another_folder(place, hook):
    """A's best checkpoint, and those that A would remove next, stay; B keeps its own books."""
    before = there(place, 'a')
    (place / 'b').mkdir()
    (place / 'b' / 'epoch_1.pth').write_bytes(b'of another run')
    resume = dict(resume=True, load_from=told(place))
    log = Lines()
    log.listen(validated(place / 'b', 4, hook, **resume)).train()
    assert there(place, 'a') == before
    assert {'epoch_1.pth', 'epoch_3.pth', 'epoch_4.pth', 'best_acc_epoch_4.pth'} <= there(
        place, 'b'
    )
    assert 'best_acc_epoch_3.pth' not in there(place, 'b')
    (line,) = (text for level, text in log.lines if 'names the best one' in text)
    assert 'best_acc_epoch_2.pth' in line and 'it is left as it is' in line


@pytest.mark.parametrize('hook', HOOKS)
def test_resumed_in_its_own_folder(place, hook):
    """What is the run's own goes as ever."""
    validated(place / 'a', 4, hook, resume=True, load_from=told(place)).train()
    found = {name for name in there(place, 'a') if name.endswith('.pth')}
    assert found == {'epoch_3.pth', 'epoch_4.pth', 'best_acc_epoch_4.pth'}


BEST = dict(
    folder='{place}/victim',
    file='{place}/victim/thesis.txt',
    relative='{place}/a/../victim',
    same_name='{place}/victim/best_acc_epoch_2.pth',
    not_its_name='{place}/a/notes.txt',
    pointer='{place}/a/last_checkpoint',
    no_number='{place}/a/best_acc_epoch_x.pth',
    no_path=['x'],
)


@pytest.mark.parametrize('several', [False, True], ids=['one', 'several'])
@pytest.mark.parametrize('kind', BEST)
@pytest.mark.parametrize('hook', HOOKS)
def test_best_checkpoint_elsewhere(place, hook, kind, several):
    (place / 'a' / 'notes.txt').write_text('x')
    (place / 'a' / 'best_acc_epoch_x.pth').mkdir()
    path = BEST[kind]
    path = path.format(place=place) if isinstance(path, str) else path
    keys = ('best_ckpt_acc', 'best_ckpt_other') if several else ('best_ckpt',)
    checkpoint = told(place, **dict.fromkeys(keys, path))
    before = there(place, 'victim')
    run = validated(
        place / 'a', 3, hook, ['acc', 'other'] if several else 'acc', resume=True,
        load_from=checkpoint,
    )  # fmt: skip
    run.train()
    assert there(place, 'victim') == before
    assert {'notes.txt', 'last_checkpoint', 'best_acc_epoch_x.pth'} <= there(place, 'a')
    assert 'best_acc_epoch_3.pth' in there(place, 'a')


@pytest.mark.parametrize('key', ['keep_ckpt_ids', 'dropped_ckpt_ids'])
@pytest.mark.parametrize('hook', HOOKS)
def test_numbers_that_are_paths(place, hook, key):
    """A file name of the hook's is made of each."""
    up = 'x/../../victim'
    (place / 'a' / 'epoch_x').mkdir()
    (place / 'victim.pth').mkdir()
    checkpoint = told(place, **{key: [up, f'{up}/thesis', -1, True, None, [1]] * 2})
    before = there(place, 'victim')
    validated(place / 'a', 4, hook, resume=True, load_from=checkpoint).train()
    assert there(place, 'victim') == before and (place / 'victim.pth').is_dir()
    assert {'epoch_3.pth', 'epoch_4.pth', 'epoch_x'} <= there(place, 'a')


def test_pointer_elsewhere(place):
    """``last_checkpoint`` may come with a folder of a stranger's."""
    (place / 'b').mkdir()
    (place / 'b' / 'last_checkpoint').write_text(str(place / 'a' / 'epoch_2.pth'))
    with pytest.raises(ValueError, match=r'a/epoch_2\.pth of last_checkpoint is not in the folder'):
        validated(place / 'b', 3, resume=True).train()
