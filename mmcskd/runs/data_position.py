"""Data from the position of a checkpoint on."""

from itertools import islice


def never_ends(sampler) -> bool:
    """Whether this is MMEngine's ``InfiniteSampler``, of any length.

    Args:
        sampler (Sampler): The sampler of a dataloader.
    """
    return hasattr(sampler, '_indices_of_rank')


class _SkipFirst:
    """A sampler that skips its first items once."""

    def __init__(self, sampler, count: int):
        self.sampler = sampler
        self.count = count

    def __iter__(self):
        count, self.count = self.count, 0
        return islice(iter(self.sampler), count, None)

    def __len__(self):
        return len(self.sampler)

    def __getattr__(self, name):
        return getattr(self.sampler, name)


class Ahead:
    """The endless iterator of an ``IterBasedTrainLoop``, from the position of the checkpoint.

    The loop skips the batches before it one by one; they are not loaded.

    Args:
        loader (DataLoader): The loader, before it is iterated.
        iteration (int): The position.
    """

    def __init__(self, loader, iteration: int):
        from mmengine.runner.loops import _InfiniteDataloaderIterator

        self.left = iteration
        sampler = loader.sampler
        if never_ends(sampler):
            sampler.indices = sampler._indices_of_rank()
            skip(loader, iteration)
        else:
            skip(loader, iteration % len(loader))
        self.iterator = _InfiniteDataloaderIterator(loader)

    def skip_iter(self, num_iters: int) -> None:
        """What OneDL's loop calls in place of as many ``next``."""
        self.left -= num_iters

    def __next__(self):
        if self.left:
            self.left -= 1
            return None
        return next(self.iterator)


def skip(loader, batches: int) -> None:
    """Let a loader begin behind its first batches, once.

    Args:
        loader (DataLoader): The loader, before it is iterated.
        batches (int): Their number.

    Raises:
        ValueError: If its batch sampler has no sampler.
    """
    if batches == 0:
        return
    if not hasattr(loader.batch_sampler, 'sampler'):
        raise ValueError(
            f'train_dataloader.batch_sampler {type(loader.batch_sampler).__name__} has no sampler '
            'to resume from the middle of an epoch: resume from a checkpoint of an epoch.'
        )
    batch_sampler = loader.batch_sampler
    batch_sampler.sampler = _SkipFirst(batch_sampler.sampler, batches * batch_sampler.batch_size)
