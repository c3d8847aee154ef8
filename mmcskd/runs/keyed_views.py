"""Random transforms that depend on the view alone, not on the process or the order."""

import contextlib
import hashlib
import random
import struct
from typing import Any, Callable, Iterator, List, Optional

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import DataLoader


class View(int):
    """The index of a sample with the key of one view of it."""

    key: bytes = b''

    def __reduce__(self):
        return _view, (int(self), self.key)


class KeyedSampler:
    """A sampler that yields each index with the key of its view.

    The key consists of the run's seed, the epoch, the sample and its place in the epoch, counted
    over all processes. A sample that occurs several times in an epoch, as with repeated
    augmentation, has another view each time.

    A sampler that counts epochs is told this one, whatever it was told before: MMEngine's
    ``DistSamplerSeedHook`` tells it 0 at each start of an iteration-based run, a resumed one too.

    Args:
        sampler (Sampler): The sampler of a dataloader.
        seed (int): Seed of the run.
        epoch (Callable[[], int]): Tells the epoch when one begins. A sampler need not know it.
        period (int, optional): Epochs after which order and views repeat. Defaults to None:
            never.
    """

    def __init__(
        self, sampler, seed: int, epoch: Callable[[], int], period: Optional[int] = None
    ) -> None:
        self.sampler = sampler
        self.seed = seed
        self.current = epoch
        self.period = period

    def __iter__(self) -> Iterator[View]:
        epoch = self.current()
        if self.period is not None:
            epoch %= self.period
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
        step, place = get_world_size(), get_rank()
        for index in self.sampler:
            yield _view(int(index), struct.pack('<4q', self.seed, epoch, index, place))
            place += step

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name):
        if name.startswith('__') or name == 'sampler':
            raise AttributeError(name)
        return getattr(self.sampler, name)


class KeyedDataset:
    """A dataset that seeds the generators for each view, the same in every process.

    Args:
        dataset (Dataset): Any map-style dataset; its transforms may use the generators of Python,
            NumPy and torch.
    """

    def __init__(self, dataset) -> None:
        self.__dict__['dataset'] = dataset

    def __getitem__(self, index: int):
        if not isinstance(index, View):
            return self.dataset[index]
        return self.__getitems__([index])[0]

    def __getitems__(self, views: List[View]) -> list:
        """The samples of a batch; torch's loader asks for them at once."""
        samples = []
        with drawing_aside():  # once: for each small image it would take as long as the image
            for view in views:
                seed_generators(view.key)
                samples.append(self.dataset[int(view)])
        return samples

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name):
        if name.startswith('__') or name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name, value) -> None:
        # Attributes that hooks set, to disable a transform, belong to the dataset.
        setattr(self.dataset, name, value)


def key_views(
    loader: DataLoader, seed: int, epoch: Callable[[], int], period: Optional[int] = None
) -> bool:
    """Make the views of a dataloader functions of seed, epoch, sample and place.

    They are then the same with any number of workers and after a resume.

    Args:
        loader (DataLoader): A loader that has not been iterated.
        seed (int): Seed of the run.
        epoch (Callable[[], int]): Tells the epoch when one begins.
        period (int, optional): Epochs after which order and views repeat. Defaults to None:
            never.

    Returns:
        bool: False for a batch sampler without a sampler, which has no keys.
    """
    batches: Any = loader.batch_sampler
    if not hasattr(batches, 'sampler'):
        return False
    if isinstance(batches.sampler, KeyedSampler):
        batches.sampler.period = period
        return True
    batches.sampler = KeyedSampler(batches.sampler, seed, epoch, period)
    # torch forbids the assignment, as workers that run already would not see it.
    loader.__dict__['dataset'] = KeyedDataset(loader.dataset)
    return True


def seed_generators(key: bytes) -> None:
    """Seed the generators of Python, NumPy and torch on the CPU.

    Args:
        key (bytes): All on which the random numbers may depend.
    """
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), 'little')
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed >> 1)


@contextlib.contextmanager
def drawing_aside():
    """Restore the generators of Python, NumPy and torch on the CPU at the end of the context."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


def _view(index: int, key: bytes) -> View:
    view = View(index)
    view.key = key
    return view
