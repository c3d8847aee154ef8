"""Numbers that identify the images of a batch."""

import hashlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

WORDS = {8: torch.int32, 4: torch.int32, 2: torch.int16, 1: torch.int8}


def image_checksums(images: Tensor) -> Tensor:
    """A checksum of each image, computed on its device without waiting for it.

    The sum modulo 2^64 of the bits as words of at most 32 bits, each times a random number of 64
    bits of its own: the multilinear hash of Carter and Wegman. Whatever two images differ in, their
    checksums are equal with a probability of at most 2^-33. The order of summation does not matter.

    Args:
        images (Tensor): (N, C, height, width).

    Returns:
        Tensor: (N,) of int64.
    """
    words = images.detach().contiguous().view(WORDS[images.element_size()]).flatten(1)
    factors = _factors(words.shape[1], images.device)
    return _of_cpu(words, factors) if images.is_cpu else (words * factors).sum(dim=1)


def _of_cpu(words: Tensor, factors: Tensor) -> Tensor:
    """The same sum without a product of twice the images' size, in a tenth of the time."""
    return torch.from_numpy(np.einsum('ij,j->i', words.numpy(), factors.numpy()))


def batch_checksum(checksums: Tensor) -> int:
    """One number for the images of a batch in their order.

    Args:
        checksums (Tensor): From :func:`image_checksums`.

    Returns:
        int: 64 bits with a sign.
    """
    digest = hashlib.blake2b(checksums.cpu().numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, 'little', signed=True)


@lru_cache(maxsize=2)
def _factors(count: int, device: torch.device) -> Tensor:
    # The raw numbers of a bit generator are the same in every release of NumPy.
    numbers = np.random.PCG64(0).random_raw(count).view(np.int64)
    return torch.from_numpy(numbers).to(device)
