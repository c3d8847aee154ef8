import pytest
import torch
from models import NUM_CLASSES, algorithm_config, batch, build, teacher_config
from torch import nn

from mmcskd.teacher.convolution_layout import to_channels_last


class Net(nn.Module):
    """A CNN that flattens its map, by a view of it or whatever its layout."""

    def __init__(self, by):
        super().__init__()
        self.conv, self.fc, self.by = nn.Conv2d(3, 4, 3), nn.Linear(64, 5), by

    def forward(self, x, mode=None):
        x = self.conv(x)
        return self.fc(x.view(len(x), -1) if self.by == 'view' else x.flatten(1))


@pytest.mark.parametrize('by', ['view', 'flatten'])
def test_layout(by):
    net, images = Net(by), torch.randn(2, 3, 6, 6)
    before = net(images)
    layout = to_channels_last(net, images)
    assert layout == (torch.contiguous_format if by == 'view' else torch.channels_last)
    assert net.conv.weight.is_contiguous(memory_format=layout)
    torch.testing.assert_close(net(images.contiguous(memory_format=layout)), before)


def test_other_errors_are_left_to_the_pass_proper():
    assert to_channels_last(Net('view'), torch.randn(2, 4, 6, 6)) == torch.channels_last
    algorithm = build(algorithm_config())
    with pytest.raises(RuntimeError, match='expected input'):
        algorithm(torch.randn(2, 4, 32, 32), batch(2)[1], mode='loss')


@pytest.mark.slow
@pytest.mark.parametrize('channels_last', [True, False])
def test_teacher_in_a_training_step(channels_last):
    """MMPretrain's AlexNet views its map; the batch may come in either layout."""
    alexnet = teacher_config(
        backbone=dict(type='AlexNet', num_classes=NUM_CLASSES),
        neck=None,
        head=dict(type='ClsHead'),
    )
    config = algorithm_config(teacher=alexnet)
    config['architecture']['backbone'].update(img_size=224, patch_size=32)
    algorithm = build(config)
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(0.4)
    images, samples = batch(3, 224, 224)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    losses = algorithm(images, samples, mode='loss')
    assert all(loss.isfinite() for loss in losses.values())
    assert algorithm.teacher.backbone.features[0].weight.is_contiguous()
