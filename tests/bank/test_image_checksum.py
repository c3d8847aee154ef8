"""Images that differ in anything have other checksums."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmcskd.bank.image_checksum import _factors, batch_checksum, image_checksums

KINDS = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.uint8]


def drawn(kind, width=7):
    images = torch.randn(3, 3, 5, width)
    return (images * 50 + 128).to(kind) if kind == torch.uint8 else images.to(kind)


@pytest.mark.parametrize('kind', KINDS)
def test_checksum_of_the_same_images(kind):
    """In whatever layout they lie, and however it is summed."""
    images = drawn(kind)
    own = image_checksums(images)
    assert own.shape == (3,) and own.dtype == torch.int64
    assert torch.equal(own, image_checksums(images.contiguous(memory_format=torch.channels_last)))
    shifted = torch.cat([images.new_zeros(1), images.flatten()])[1:].view_as(images)
    assert torch.equal(own, image_checksums(shifted))
    word = {1: torch.int8, 2: torch.int16}.get(images.element_size(), torch.int32)
    words = images.view(word).flatten(1)
    assert torch.equal(own, (words * _factors(words.shape[1], words.device)).sum(dim=1))
    assert batch_checksum(own) == batch_checksum(own.clone())


def checkerboard(images, square=1):
    rows, columns = (torch.arange(side) // square for side in images.shape[2:])
    return (rows[:, None] + columns) % 2 == 0


OTHERS = {
    'checkerboard': lambda x: torch.where(checkerboard(x), x, x.max() - x),
    'checkerboard of signs': lambda x: torch.where(checkerboard(x), x, -x),
    'squares': lambda x: torch.where(checkerboard(x, 2), x, x.max() - x),
    'inverted': lambda x: x.max() - x,
    'negative': lambda x: -x,
    'flipped': lambda x: x.flip(3),
    'upside down': lambda x: x.flip(2),
    'rolled': lambda x: x.roll(1, 3),
    'rolled rows': lambda x: x.roll(1, 2),
    'channels': lambda x: x[:, [2, 1, 0]],
    'two columns': lambda x: torch.cat([x[..., :2].flip(3), x[..., 2:]], dim=3),
    'rows and columns': lambda x: x.flatten(2).flip(2).view_as(x),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', OTHERS)
def test_checksum_of_other_images(name, kind):
    """Row and column sums of some of these are the same."""
    for _ in range(20):
        images = drawn(kind, 6)
        other = OTHERS[name](images)
        changed = (images != other).flatten(1).any(dim=1)
        assert changed.all()
        assert (image_checksums(images) != image_checksums(other)).all()


@given(
    words=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=8, max_size=8),
    changes=st.dictionaries(st.integers(0, 7), st.integers(1, 2**32 - 1), min_size=1),
)
def test_checksum_of_any_other_image(words, changes):
    """Any bits of any words."""
    other = list(words)
    for place, bits in changes.items():
        other[place] = ((words[place] + 2**31) ^ bits) - 2**31
    pair = torch.tensor([words, other], dtype=torch.int32).view(torch.float32).view(2, 1, 2, 4)
    first, second = image_checksums(pair).tolist()
    assert first != second


def test_checksum_of_a_batch():
    """It depends on the order of the images, also where nothing else differs."""
    own = image_checksums(drawn(torch.float32))
    for order in ([1, 0, 2], [2, 1, 0], [1, 2, 0], [0, 1, 1], [0, 1]):
        assert batch_checksum(own[order]) != batch_checksum(own)
