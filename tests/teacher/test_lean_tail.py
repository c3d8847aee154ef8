"""What comes after the backbones: no logits of every patch, and a quarter of the plain form's memory."""

import sys

import pytest
import torch
from models import algorithm_config, batch, build, distiller_config, student_config, teacher_config
from packaging.version import Version
from tool_runs import TOOLS
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
        (tokens,) = model.student.extract_feat(inputs)
        model.student.head.distillation_logits(tokens[:, 2:])
    assert seen.numel == 3 * PATCHES * CLASSES


@pytest.mark.skipif(
    Version(torch.__version__) < Version('2.1'),
    reason='torch < 2.1 makes a new object of a storage each time: none can be followed',
)
@pytest.mark.parametrize('width', [192, 384, 768])
def test_memory_after_the_backbones(width, monkeypatch):
    """DeiT-Ti, S and B on ImageNet, a RegNetY-16GF's features."""
    monkeypatch.setattr(sys, 'path', [str(TOOLS / 'benchmarks'), *sys.path])
    from memory import peaks

    found = peaks(batch=16, classes=1000, width=width, channels=3024)
    assert found['lean'] <= 0.25 * found['plain']


def test_how_the_teacher_runs(monkeypatch):
    """Inference mode, evaluation mode, channels-last, AMP's dtype; and no loss of its own."""
    model = algorithm().train()
    inputs, samples = batch(n=3)
    monkeypatch.setattr(model.teacher.head, 'loss', None)
    model.loss(inputs, samples)
    seen = []
    model.teacher.backbone.register_forward_hook(
        lambda module, given, out: seen.append((module.training, given[0], out[-1]))
    )
    for enabled, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            model.loss(inputs, samples)
        training, given, out = seen.pop()
        assert not training and out.is_inference() and out.dtype == dtype
        assert given.is_contiguous(memory_format=torch.channels_last)
        assert not given.is_contiguous()
