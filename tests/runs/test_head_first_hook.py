import torch
from models import batch, build, teacher_config
from torch import nn

from mmcskd import HeadFirstHook


class Runner:
    def __init__(self, model):
        self.model, self.epoch = model, 0


def step(model):
    images, samples = batch(4)
    model.zero_grad()
    model(images, samples, mode='loss')['loss'].backward()
    return {name for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_head_learns_alone_then_all():
    model = build(teacher_config())
    runner, hook = Runner(model), HeadFirstHook(1)
    hook.before_train_epoch(runner)
    model.train()
    hook.before_train_iter(runner, 0)
    norm = next(part for part in model.modules() if isinstance(part, nn.BatchNorm2d))
    before = norm.running_mean.clone()
    assert step(model) == {'head.fc.weight', 'head.fc.bias'}
    assert torch.equal(norm.running_mean, before)
    runner.epoch = 1
    hook.before_train_epoch(runner)
    model.train()
    hook.before_train_iter(runner, 0)
    assert step(model) == {name for name, _ in model.named_parameters()}
    assert not torch.equal(norm.running_mean, before)
