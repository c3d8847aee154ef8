"""Losses and gradients of a device are those of the CPU in float64, within stated bounds."""

import pytest
import torch
from mmengine.config import Config
from models import algorithm_config, batch, build, distiller_config
from packaging.version import Version
from tool_runs import ROOT

SLOW = pytest.mark.slow
FLOAT32 = 1e-4  # of a loss; of a gradient, against the largest of its tensor
# Of a loss; the least cosine between a gradient and the reference, over all weights.
AMP = {torch.bfloat16: (0.03, 0.99), torch.float16: (0.005, 0.999)}


def tiny(mode, **parts):
    """The tiny ResNet and DeiT, three images."""
    config = algorithm_config(distiller=distiller_config(mode=mode, fusion_weight=0.5), **parts)
    config['distiller']['distill_losses']['loss_deit']['mode'] = mode
    return config, (3, 32, 32)


def shipped(mode):
    """DeiT-Ti and RegNetY-16GF in full size, two images of 64 × 64."""
    model = Config.fromfile(ROOT / 'configs' / 'cskd_deit-ti_regnety.py').model
    model.update(teacher_ckpt=None, random_teacher=True)
    model.distiller.distill_losses.loss_cskd.update(mode=mode, fusion_weight=0.5)
    model.distiller.distill_losses.loss_deit.mode = mode
    return model, (2, 64, 64)


def losses_and_gradients(config, size, device, dtype=torch.float32, cast=None):
    """In float64, on the CPU, whatever they were computed in."""
    torch.manual_seed(0)
    algorithm = build(config).to(device, dtype).train()
    images, samples = batch(*size)
    samples = [sample.to(device) for sample in samples]
    with torch.autocast(device, cast or torch.bfloat16, enabled=cast is not None):
        losses = algorithm.loss(images.to(device, dtype), samples)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    gradients = {
        name: weight.grad.double().cpu()
        for name, weight in algorithm.named_parameters()
        if weight.grad is not None
    }
    return {key: float(value) for key, value in losses.items() if 'loss' in key}, gradients


@pytest.fixture(autouse=True)
def no_tf32(monkeypatch):
    """What CUDA calls float32 convolutions has ten bits of mantissa otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


# An untrained teacher and student of full size differ by so little that a divergence is rounding.
@pytest.mark.parametrize(
    'size, mode', [(tiny, 'hard'), (tiny, 'soft'), pytest.param(shipped, 'hard', marks=SLOW)]
)
def test_float32(device, size, mode):
    wanted, slopes = losses_and_gradients(*size(mode), 'cpu', torch.float64)
    found, ours = losses_and_gradients(*size(mode), device)
    assert set(found) == {'loss_base', 'loss_cskd', 'loss_deit'}
    assert found == pytest.approx(wanted, rel=FLOAT32)
    assert ours.keys() == slopes.keys() and len(ours) > 30
    for name, slope in slopes.items():
        assert (ours[name] - slope).abs().max() <= FLOAT32 * slope.abs().max(), name


@pytest.mark.parametrize('cast', list(AMP), ids=str)
def test_mixed_precision(device, cast):
    """Of soft targets: a hard label may change where two classes are as good as equal."""
    if device == 'cpu' and cast == torch.float16 and Version(torch.__version__) < Version('2.3'):
        pytest.skip('needs torch >= 2.3')
    within, cosine = AMP[cast]
    wanted, slopes = losses_and_gradients(*tiny('soft'), 'cpu', torch.float64)
    found, ours = losses_and_gradients(*tiny('soft'), device, cast=cast)
    assert found == pytest.approx(wanted, rel=within)
    assert found != wanted
    one, other = (torch.cat([g[name].flatten() for name in slopes]) for g in (ours, slopes))
    assert torch.cosine_similarity(one, other, dim=0) >= cosine


@SLOW
def test_compiled_models_answer_the_same(device):
    """By torch's compiler on CUDA, by its tracing alone on the CPU."""
    how = True if device == 'cuda' else dict(backend='eager')
    found, ours = losses_and_gradients(
        *tiny('soft', compile=dict(teacher=how, student=how)), device
    )
    wanted, slopes = losses_and_gradients(*tiny('soft'), device)
    assert found == pytest.approx(wanted, rel=1e-3)
    for name, slope in slopes.items():
        assert (ours[name] - slope).abs().max() <= 1e-3 * slope.abs().max(), name
