"""The views of a run's images, with samplers of a user's own."""

import pytest
import torch
from fault_runs import runner
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class InOrder(Sampler):
    """All that torch asks of a sampler, and no more."""

    def __init__(self, dataset, seed=None):
        self.dataset = dataset

    def __iter__(self):
        return iter(range(len(self.dataset)))

    def __len__(self):
        return len(self.dataset)


class Views(Hook):
    """Keeps one number of each image, by iteration."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen[runner.iter] = torch.stack(list(data_batch['inputs']))[:, 0, 0, 0].tolist()


LOOPS = {
    'epochs': dict(epochs=3),
    'iterations': dict(iterations=18, checkpoint=dict(interval=6)),
}


def views(place, **options):
    options.setdefault('sampler', dict(type='InOrder'))
    run = runner(place, dataset=dict(type='Pictures', noise=True), **options)
    kept = Views()
    run.register_hook(kept)
    run.train()
    return kept.seen


@pytest.mark.parametrize('loop', LOOPS)
def test_each_epoch_has_other_views_with_a_sampler_that_knows_no_epoch(tmp_path, loop):
    seen = views(tmp_path, **LOOPS[loop])
    assert sorted(seen) == list(range(18))
    # The same images in the same order: without noise all epochs would be equal.
    for first, second in ((0, 6), (0, 12), (6, 12)):
        assert all(a != b for a, b in zip(seen[first], seen[second]))
    last = tmp_path / ('epoch_3.pth' if loop == 'epochs' else 'iter_18.pth')
    last.unlink()
    (tmp_path / 'last_checkpoint').unlink()
    resumed = views(tmp_path, resume=True, **LOOPS[loop])
    assert resumed == {step: seen[step] for step in range(12, 18)}


RANDOMNESS = {
    'of the sampler': dict(sampler=dict(type='DefaultSampler', shuffle=True, seed=11)),
    'of each process': dict(randomness=dict(seed=3, diff_rank_seed=True)),
    # Which draws another random teacher each time.
    'of nobody': dict(randomness=dict(seed=None), allowed=['model.teacher_ckpt']),
}


@pytest.mark.parametrize('seed', RANDOMNESS)
def test_the_order_of_the_data_goes_on(tmp_path, seed):
    """Whichever seed the sampler had, it has again after a resume."""
    options = {'sampler': dict(type='DefaultSampler', shuffle=True), **RANDOMNESS[seed]}
    whole = views(tmp_path, **options)
    (tmp_path / 'epoch_3.pth').unlink()
    resumed = views(tmp_path, resume=True, **options)
    assert resumed == {step: whole[step] for step in range(12, 18)}
