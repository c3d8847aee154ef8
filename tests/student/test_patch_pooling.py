"""The gradient of all tokens is made once: the same numbers as by slices and a stock pooling."""

import pytest
import torch
from torch.nn import functional as F

from mmcskd.student.patch_pooling import pool_patches
from mmcskd.student.token_split import TokenSplit


def plain(tokens, extra, grid, to):
    patches = tokens[:, extra:].unflatten(1, grid).permute(0, 3, 1, 2)
    return tokens[:, :extra], F.adaptive_avg_pool2d(patches, to)


def lean(tokens, extra, grid, to):
    first, patches = TokenSplit(extra)(tokens)
    first = torch.stack([tokens.new_zeros(3, 5), *first], dim=1)[:, 1:]
    return first, pool_patches(patches, grid, to, extra)


@pytest.mark.parametrize('extra', [0, 1, 2])
@pytest.mark.parametrize(
    'grid, to', [((4, 6), (2, 3)), ((4, 6), (4, 6)), ((6, 6), (2, 6)), ((5, 7), (3, 3))]
)
@pytest.mark.parametrize('used', ['both', 'extra', 'pooled', 'twice'])
def test_same_gradient(extra, grid, to, used):
    if used == 'extra' and extra == 0:
        return
    tokens = torch.randn(3, extra + grid[0] * grid[1], 5, requires_grad=True)
    weights = torch.randn(3, extra, 5), torch.randn(3, 5, *to)
    found = []
    for form in (plain, lean):
        first, pooled = form(tokens, extra, grid, to)
        parts = (first * weights[0]).sum(), (pooled * weights[1]).sum()
        total = dict(both=sum(parts), extra=parts[0], pooled=parts[1]).get(used)
        if used == 'twice':
            total = sum(parts) + (pooled.exp() * weights[1]).sum()
        found.append((pooled, torch.autograd.grad(total, tokens)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)


def test_two_who_pool_and_one_who_slices():
    """Their gradients are summed, whichever lies in the buffer of all tokens."""
    tokens = torch.randn(2, 18, 5, requires_grad=True)
    first, patches = TokenSplit(2)(tokens)
    pooled = [pool_patches(patches, (4, 4), to, 2) for to in ((2, 2), (4, 1))]
    total = (
        sum(each.sum() for each in first)
        + sum((each**2).sum() for each in pooled)
        + (patches**3).sum()
    )
    own = torch.autograd.grad(total, tokens)[0]
    patches = tokens[:, 2:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    pooled = [F.adaptive_avg_pool2d(patches, to) for to in ((2, 2), (4, 1))]
    total = tokens[:, :2].sum() + sum((each**2).sum() for each in pooled) + (patches**3).sum()
    torch.testing.assert_close(own, torch.autograd.grad(total, tokens)[0])


def test_the_gradient_lies_where_that_of_all_tokens_does(monkeypatch):
    """No second tensor of the size of all tokens is filled."""
    tokens = torch.randn(2, 18, 5, requires_grad=True)
    first, patches = TokenSplit(2)(tokens)
    seen = []
    patches.register_hook(lambda gradient: seen.append(gradient.untyped_storage().data_ptr()))
    (pool_patches(patches, (4, 4), (2, 2), 2).sum() + sum(each.sum() for each in first)).backward()
    assert seen == [tokens.grad.untyped_storage().data_ptr()]
