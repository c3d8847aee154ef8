"""The algorithm within what a runner wraps around it."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(runner) -> nn.Module:
    """The model of a runner as the config describes it, without the wrapper for several processes.

    Args:
        runner (Runner): Of any kind.
    """
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
