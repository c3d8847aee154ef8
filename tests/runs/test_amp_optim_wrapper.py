import pytest
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper
from models import algorithm_config, batch, build
from torch import nn

from mmcskd import DeviceAmpOptimWrapper
from mmcskd.runs import amp_optim_wrapper


def wrap(parameters, **kwargs):
    return DeviceAmpOptimWrapper(optimizer=torch.optim.SGD(parameters, lr=0.1), **kwargs)


cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason='the stock wrapper serves CUDA')
has_scaler = pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='needs torch >= 2.3')


@cpu_only
@pytest.mark.parametrize(
    'dtype', [None, 'bfloat16', torch.bfloat16, pytest.param('float16', marks=has_scaler)]
)
def test_casts_and_steps(dtype):
    layer = nn.Linear(4, 2)
    wrapper = wrap(layer.parameters(), dtype=dtype, loss_scale=1024.0)
    inputs = torch.randn(3, 4)
    with wrapper.optim_context(layer):
        output = layer(inputs)
    expected = torch.float16 if dtype == 'float16' else torch.bfloat16
    assert output.dtype == expected
    before = layer.weight.detach().clone()
    wrapper.update_params(output.float().sum())
    # The gradient of the sum is the sum of the inputs, with any scale taken out again.
    torch.testing.assert_close(
        layer.weight, before - 0.1 * inputs.sum(0).expand(2, 4), rtol=0, atol=0.02
    )


@cpu_only
@has_scaler
def test_overflow_is_skipped():
    layer = nn.Linear(1, 1)
    wrapper = wrap(layer.parameters(), dtype='float16', loss_scale=dict(init_scale=2.0**10))
    before = layer.weight.detach().clone()
    wrapper.update_params(layer(torch.ones(1, 1)).sum() * float('inf'))
    assert torch.equal(layer.weight, before)
    assert wrapper.loss_scaler.get_scale() == 2.0**9
    assert wrapper.state_dict()['loss_scaler']['scale'] == 2.0**9


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
@pytest.mark.parametrize('dtype', ['float32', 'int', torch.float64])
def test_bad_dtype(dtype, device, monkeypatch):
    """Before the stock wrapper, which asserts that there is an accelerator, and then the name."""
    monkeypatch.setattr('mmcskd.runs.amp_optim_wrapper.get_device', lambda: device)
    with pytest.raises(ValueError, match=r'optim_wrapper\.dtype is .*"bfloat16" or "float16"'):
        wrap(nn.Linear(1, 1).parameters(), dtype=dtype)


def test_losses_under_autocast_are_close():
    """Teacher and student both run in the lower precision; the losses stay in float32."""
    algorithm = build(algorithm_config())
    algorithm.distiller.distill_losses['loss_cskd'].set_fusion_weight(0.5)
    algorithm.eval()  # no dropout: the two passes see the same network
    images, samples = batch()
    exact = algorithm.loss(images, samples)
    with wrap(algorithm.parameters()).optim_context(algorithm):
        cast = algorithm.loss(images, samples)
    for name, loss in cast.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=0.05), name


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', None])
def test_bfloat16_has_no_scaler_on_a_gpu(dtype, monkeypatch):
    """It would ask the device in each step; float16 needs it, and is a GPU's default."""
    monkeypatch.setattr(amp_optim_wrapper, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    made = []

    class Scaler(torch.cuda.amp.GradScaler):
        def __init__(self, enabled=True, **kwargs):
            made.append(enabled)
            super().__init__(enabled=False)

    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', Scaler)
    wrapper = wrap(nn.Linear(1, 1).parameters(), dtype=dtype)
    assert made == [dtype != 'bfloat16']
    assert wrapper.cast_dtype == getattr(torch, dtype or 'float16')
