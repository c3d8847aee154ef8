"""The model inside the wrapper of a runner."""

from typing import Dict

from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel


def unwrapped(runner) -> nn.Module:
    """The model of a runner without the wrapper for several processes.

    Args:
        runner (Runner): A runner of any type.
    """
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def is_sharded(model: nn.Module) -> bool:
    """Whether each process has only a part of the weights.

    Args:
        model (nn.Module): The model of a runner.
    """
    return any(isinstance(module, FullyShardedDataParallel) for module in model.modules())


def own_weights(model: nn.Module) -> Dict[str, Tensor]:
    """The weights of a model by name; with shards only those of this process.

    Args:
        model (nn.Module): The model of a runner, with or without its wrapper.
    """
    if not is_sharded(model):
        return model.state_dict()
    parts = (*model.named_parameters(), *model.named_buffers())
    return {name.replace('_fsdp_wrapped_module.', ''): value.detach() for name, value in parts}
