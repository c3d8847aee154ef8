import pytest
import timm
import torch
from models import algorithm_config, batch, build, teacher_config
from torch import nn

from mmcskd.teacher.folded_norms import fold_norms


class Called(nn.Module):
    """Any CNN, called as MMPretrain calls a classifier."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs, mode='tensor'):
        return self.model(inputs)


class Twice(nn.Module):
    """A convolution whose output a norm takes, and something else too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, inputs):
        features = self.conv(inputs)
        return (self.norm(features) + features).mean((2, 3))


class Fork(nn.Module):
    """A convolution whose output two norms take."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.one, self.two = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, inputs):
        features = self.conv(inputs)
        return (self.one(features) * self.two(features)).mean((2, 3))


class Pair(nn.Module):
    """No class logits but two outputs."""

    def forward(self, inputs):
        return inputs, inputs


def draw(model):
    """Statistics and weights as training leaves them, not the zeros and ones of a new norm."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.2)
    return model.eval()


@pytest.mark.parametrize(
    'name, preceding',
    # In DenseNet one norm of each of 58 layers, one of 3 transitions and the last one.
    [('resnet18', 0), ('regnety_002', 0), ('mobilenetv3_small_050', 0), ('densenet121', 62)],
)
def test_same_output_with_fewer_norms(name, preceding):
    """Folded are all norms but those that no convolution feeds."""
    model = draw(Called(timm.create_model(name, num_classes=5)))
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) - preceding
    inputs = torch.randn(2, 3, 64, 64)
    expected = model(inputs)
    assert fold_norms(model, inputs[:1]) == norms
    torch.testing.assert_close(model(inputs), expected, rtol=1e-4, atol=1e-4)
    left = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and 'forward' in vars(m)]
    assert len(left) == norms


@pytest.mark.parametrize('cnn', [Twice, Fork])
def test_undone_where_the_output_changes(cnn):
    model, inputs = draw(Called(cnn())), torch.randn(2, 3, 8, 8)
    expected = model(inputs)
    assert fold_norms(model, inputs) == 0
    assert torch.equal(model(inputs), expected)


def test_once_is_enough():
    """Copies of a student share the teacher, and each has a first batch."""
    model, inputs = draw(Called(timm.create_model('resnet18'))), torch.randn(2, 3, 32, 32)
    assert fold_norms(model, inputs) == 20
    folded = model(inputs)
    assert fold_norms(model, inputs) == 0
    assert torch.equal(model(inputs), folded)


def test_what_has_no_logits_is_left_alone():
    assert fold_norms(Called(Pair()), torch.randn(2, 3, 8, 8)) == 0


def test_training_mode_is_left_alone():
    model = draw(Called(timm.create_model('resnet18'))).train()
    assert fold_norms(model, torch.randn(2, 3, 32, 32)) == 0


def losses_of(algorithm, fold):
    algorithm._own_teacher = fold
    torch.manual_seed(1)
    inputs, samples = batch()
    for loss in algorithm.distiller.distill_losses.values():
        if hasattr(loss, 'set_fusion_weight'):
            loss.set_fusion_weight(0.5)
    return algorithm.loss(inputs, samples)


def test_a_teacher_from_a_config_is_folded_on_the_first_batch():
    config = algorithm_config()
    config['distiller']['distill_losses']['loss_cskd']['mode'] = 'soft'
    plain, folded = build(config), build(config)
    folded.load_state_dict(plain.state_dict())
    folded.teacher.load_state_dict(draw(plain.teacher).state_dict())
    names = list(folded.teacher.state_dict())
    expected, found = losses_of(plain, fold=False), losses_of(folded, fold=True)
    assert not any('forward' in vars(m) for m in plain.teacher.modules())
    assert any('forward' in vars(m) for m in folded.teacher.modules())
    assert set(names) <= set(folded.teacher.state_dict())
    for name in ('loss_base', 'loss_deit', 'loss_cskd'):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_not_where_something_else_is_recorded():
    config = algorithm_config()
    config['distiller']['teacher_recorders']['feature'] = dict(
        type='ModuleOutputs', source='backbone.layer4.0.conv1'
    )
    algorithm = build(config)
    losses_of(algorithm, fold=True)
    assert not any('forward' in vars(m) for m in algorithm.teacher.modules())


def test_a_built_teacher_is_left_as_it_is():
    config = algorithm_config()
    config['teacher'] = build(teacher_config())
    assert not build(config)._own_teacher
