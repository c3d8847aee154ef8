from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

from mmcskd.app.published import named, published

CONFIGS = Path(mmpretrain.__file__).parent / '.mim' / 'configs'


def test_by_config():
    assert [each.name for each in published('mmpretrain::resnet/resnet18_8xb32_in1k.py')] == [
        'resnet18_8xb32_in1k'
    ]
    found = published(str(CONFIGS / 'convnext_v2' / 'convnext-v2-base_32xb32_in1k.py'))
    # Not the self-supervised ones, whose head is random.
    assert [(each.name, each.top1) for each in found] == [
        ('convnext-v2-base_fcmae-in21k-pre_3rdparty_in1k', 86.74),
        ('convnext-v2-base_fcmae-pre_3rdparty_in1k', 84.87),
    ]
    assert found[0].config == 'mmpretrain::convnext_v2/convnext-v2-base_32xb32_in1k.py'


def test_of_a_config_that_is_named_as_the_weights_are():
    found = published('mmpretrain::convnext/convnext-base_32xb128_in1k.py')
    assert found[0].name == 'convnext-base_32xb128_in1k' and found[0].top1 < found[1].top1


@pytest.mark.parametrize('config', ['mmpretrain::gone/x.py', 'none::x.py', 'mine.py', str(CONFIGS)])
def test_of_no_stock_config(config):
    assert published(config) == []


def test_by_name():
    found = named('RepVGG-A0_8xb32_in1k')
    # On the server of who builds the stack.
    assert '/mmclassification/v0/repvgg/repvgg-A0_8xb32_in1k' in found.weights
    assert found.config == 'mmpretrain::repvgg/repvgg-A0_8xb32_in1k.py'
    with pytest.raises(ValueError, match=r'"resnet19_8xb32_in1k" is no .* "resnet18_8xb32_in1k"'):
        named('resnet19_8xb32_in1k')


@pytest.mark.slow
def test_most_cnns_have_weights():
    """172 of 205 classification configs of CNNs; by their own names only 58 have."""
    vits = ('ViT', 'Vision', 'Swin', 'DeiT', 'LeViT', 'T2T', 'TNT', 'XCiT', 'PCPVT', 'SVT', 'Mixer')
    with_weights, by_name, count = 0, 0, 0
    for path in sorted(CONFIGS.glob('*/*.py')):
        try:
            model = Config.fromfile(path).get('model') or {}
        except Exception:  # of a package that is not installed
            continue
        if model.get('type') != 'ImageClassifier' or any(v in model.backbone.type for v in vits):
            continue
        found = published(str(path))
        count, with_weights = count + 1, with_weights + bool(found)
        by_name += any(each.name == path.stem for each in found)
    assert with_weights > 0.75 * count > 100 and by_name < 0.45 * count
