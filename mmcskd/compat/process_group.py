import functools


class NoProcessGroup(RuntimeError, ValueError):
    """What older releases of torch raise where there is no process group, and what newer ones do."""


def bridge_process_group() -> None:
    """Let MMRazor tell by the error that there is no process group, whatever the torch.

    Symptom: "ValueError: Default process group has not been initialized" from MMRazor's
    ``InformationEntropyLoss``, where who uses MMRazor waits for a RuntimeError.
    Cause: torch raises a ValueError for it since 2.1, a RuntimeError before.
    Applies: what MMRazor's ``GatherTensors`` raises without a process group; the error is then of both
    types. Must be called when ``mmrazor.models`` can be imported.
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
