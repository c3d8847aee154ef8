"""Tokens are pooled before the head: no class logits of every patch exist."""

import pytest
import torch
from models import (
    algorithm_config,
    batch,
    build,
    distiller_config,
    student_config,
    teacher_config,
    tokens_of,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# So many that logits of every patch would be larger than anything else.
CLASSES = 2003
PATCHES = 64


class Largest(TorchDispatchMode):
    """The most elements of a tensor that any operation takes or gives, and its shape."""

    def __init__(self):
        super().__init__()
        self.numel, self.shape = 0, None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_flatten((args, kwargs, outputs))[0]:
            if isinstance(tensor, torch.Tensor) and tensor.numel() > self.numel:
                self.numel, self.shape = tensor.numel(), tuple(tensor.shape)
        return outputs


def algorithm(**loss):
    config = algorithm_config(
        architecture=student_config(),
        teacher=teacher_config(num_classes=CLASSES),
        distiller=distiller_config(fusion_weight=0.5, **loss),
    )
    config['architecture']['head']['num_classes'] = CLASSES
    return build(config)


@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_no_logits_of_every_patch_in_training(mode):
    model = algorithm(mode=mode).train()
    inputs, samples = batch(n=3)
    for _ in range(2):  # the first batch, which is checked, and another
        with Largest() as seen:
            losses = model.loss(inputs, samples)
            sum(value for key, value in losses.items() if 'loss' in key).backward()
        # (N, H·W, C) of the teacher's grid there are, from a quarter as many places.
        assert 3 * 16 * CLASSES <= seen.numel < 3 * PATCHES * CLASSES, seen.shape


def test_no_logits_of_every_patch_at_test_time():
    model = algorithm().eval()
    inputs, samples = batch(n=3)
    with torch.no_grad(), Largest() as seen:
        model(inputs, samples, mode='predict')
    assert seen.numel < 3 * PATCHES * CLASSES, seen.shape


def test_they_would_be_seen():
    model = algorithm().eval()
    inputs, _ = batch(n=3)
    with torch.no_grad(), Largest() as seen:
        model.student.distillation_logits(tokens_of(model.student, inputs)[:, 2:])
    assert seen.numel == 3 * PATCHES * CLASSES
