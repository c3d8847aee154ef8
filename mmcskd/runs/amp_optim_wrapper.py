import math
from contextlib import contextmanager
from typing import Any, Dict, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmrazor.registry import OPTIM_WRAPPERS
from torch import nn

from ..checks.part import check_keys
from ..checks.typed import fits, typed


@OPTIM_WRAPPERS.register_module()
class DeviceAmpOptimWrapper(AmpOptimWrapper):
    """MMEngine's ``AmpOptimWrapper``, on a CPU too.

    With an accelerator it is the stock wrapper. On the CPU, which the stock wrapper refuses, it
    uses torch's CPU autocast, with bfloat16 by default. The loss is scaled for float16 only:
    bfloat16 has the range of float32, and the host waits in each step for the overflow check of
    torch's gradient scaler. Steps that the scaler skips are no error; their number is logged as
    ``skipped_steps``. Those that a fused optimizer skips are not counted.

    Args:
        loss_scale (float | str | dict): ``'dynamic'``, a fixed scale or the arguments of the
            gradient scaler. Defaults to ``'dynamic'``.
        dtype (str | torch.dtype, optional): ``'float16'`` or ``'bfloat16'``. Defaults to None:
            the device's own default, see :func:`cast_dtype`.
        **kwargs: Arguments of ``mmengine.optim.AmpOptimWrapper``.

    Raises:
        ValueError: For another dtype or scale; on the CPU, for a torch that has no gradient scaler
            for float16.
    """

    @typed
    def __init__(
        self,
        loss_scale: Union[float, str, dict] = 'dynamic',
        dtype: Optional[Union[str, torch.dtype]] = None,
        **kwargs,
    ) -> None:
        _check_scale(loss_scale)
        if isinstance(loss_scale, int):  # MMEngine accepts a scale as a float only
            loss_scale = float(loss_scale)
        self.on_cpu = get_device() == 'cpu'
        wanted = cast_dtype(dtype)
        if not self.on_cpu:
            if wanted == torch.bfloat16:
                loss_scale = dict(enabled=False)
            super().__init__(loss_scale=loss_scale, dtype=wanted, **kwargs)
        else:
            kwargs.pop('use_fsdp', None)
            OptimWrapper.__init__(self, **kwargs)
            self.cast_dtype = wanted
            self._scale_update_param = loss_scale if isinstance(loss_scale, float) else None
            self.loss_scaler = self._cpu_scaler(loss_scale)
        if self.loss_scaler.is_enabled():
            self.optimizer.register_step_post_hook(self._note_step)

    def _note_step(self, *_) -> None:
        self._stepped = True

    def step(self, **kwargs) -> None:
        """Step, and count it if the scaler skips it."""
        self._stepped = False
        super().step(**kwargs)
        if self.loss_scaler.is_enabled():
            hub = MessageHub.get_current_instance()
            skipped = hub.get_info('skipped_steps', 0) + (not self._stepped)
            hub.update_info('skipped_steps', skipped)
            hub.update_scalar('train/skipped_steps', skipped)

    def _cpu_scaler(self, loss_scale: Union[float, str, dict]):
        has_scaler = hasattr(torch.amp, 'GradScaler')
        if self.cast_dtype == torch.bfloat16:
            # Same range as float32: no scaling. A disabled scaler changes nothing.
            if has_scaler:
                return torch.amp.GradScaler('cpu', enabled=False)
            return torch.cuda.amp.GradScaler(enabled=False)
        if not has_scaler:
            raise ValueError(
                'optim_wrapper.dtype="float16" on a CPU needs torch >= 2.3: use "bfloat16".'
            )
        options: Dict[str, Any] = {}
        if isinstance(loss_scale, float):
            options = dict(init_scale=loss_scale)
        elif isinstance(loss_scale, dict):
            options = loss_scale
        return torch.amp.GradScaler('cpu', **options)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast, without gradient synchronisation between accumulation steps.

        Args:
            model (nn.Module): The training model.
        """
        if not self.on_cpu:
            with super().optim_context(model):
                yield
            return
        with OptimWrapper.optim_context(self, model), torch.autocast('cpu', self.cast_dtype):
            yield


def cast_dtype(dtype: Optional[Union[str, torch.dtype]]) -> torch.dtype:
    """The dtype of mixed precision.

    Args:
        dtype (str | torch.dtype, optional): As in the config. None is the device's default:
            bfloat16 on the CPU, float16 elsewhere.

    Returns:
        torch.dtype: The dtype.

    Raises:
        ValueError: For any other dtype.
    """
    if dtype is None:
        return torch.bfloat16 if get_device() == 'cpu' else torch.float16
    found = getattr(torch, dtype, dtype) if isinstance(dtype, str) else dtype
    if found not in (torch.bfloat16, torch.float16):
        raise ValueError(f'optim_wrapper.dtype is {dtype!r}, expected "bfloat16" or "float16".')
    return found


# The arguments of torch's scaler, and its conditions on them.
SCALER = {
    'init_scale': lambda value: 0 < value < math.inf,
    'growth_factor': lambda value: 1 < value < math.inf,
    'backoff_factor': lambda value: 0 < value < 1,
    'growth_interval': lambda value: isinstance(value, int) and value > 0,
    'enabled': lambda value: isinstance(value, bool),
}


def _check_scale(loss_scale: Union[float, str, dict]) -> None:
    if isinstance(loss_scale, dict):
        check_keys(loss_scale, SCALER, 'optim_wrapper.loss_scale')
        for key, value in loss_scale.items():
            number = fits(value, bool if key == 'enabled' else float)
            if not number or not SCALER[key](value):
                raise ValueError(
                    f'optim_wrapper.loss_scale.{key} is {value!r}, which no gradient scaler takes.'
                )
    elif loss_scale != 'dynamic' and (isinstance(loss_scale, str) or not 0 < loss_scale < math.inf):
        raise ValueError(
            f'optim_wrapper.loss_scale is {loss_scale!r}, expected "dynamic", a number > 0 or the '
            'arguments of a gradient scaler.'
        )
