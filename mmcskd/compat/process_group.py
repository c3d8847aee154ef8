import functools


class NoProcessGroup(RuntimeError, ValueError):
    """An error of both types that torch raises without a process group, by its release."""


def bridge_process_group() -> None:
    """Let MMRazor's ``GatherTensors`` raise the same error under every torch.

    Symptom: "ValueError: Default process group has not been initialized" from MMRazor's
    ``InformationEntropyLoss``, where its callers expect a RuntimeError.
    Cause: torch raises a ValueError since 2.1, a RuntimeError before.
    Applies: ``GatherTensors`` without a process group; its error is then of both types. Call it
    when ``mmrazor.models`` can be imported.
    """
    import torch.distributed as dist
    from mmrazor.models.architectures.ops import GatherTensors

    stock = GatherTensors.forward
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def forward(ctx, input):
        try:
            return stock(ctx, input)
        except ValueError as error:
            if dist.is_available() and dist.is_initialized():
                raise
            raise NoProcessGroup(str(error)) from error

    GatherTensors.forward = staticmethod(forward)
