import importlib
import importlib.util


def _statistic_of_history(owner, name: str):
    """Replaces ``getattr`` in a checkpoint: fetches statistics of a HistoryBuffer only."""
    import pickle

    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_') or not hasattr(owner, name):
        raise pickle.UnpicklingError(f'A checkpoint may not fetch {name!r} of {owner!r}.')
    return getattr(HistoryBuffer, name)


def checkpoint_globals() -> list:
    """Types and functions of a message hub, or pairs of one with the name a pickle gives it."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    multiarray = importlib.import_module(
        'numpy._core.multiarray'
        if importlib.util.find_spec('numpy._core')
        else 'numpy.core.multiarray'
    )
    dtypes = {type(np.dtype(name)) for name in ('float64', 'float32', 'int64', 'int32', 'bool')}
    # The other major version of NumPy names the same functions in another module.
    functions = [
        (function, f'{package}.multiarray.{function.__name__}')
        for function in (multiarray._reconstruct, multiarray.scalar)
        for package in ('numpy.core', 'numpy._core')
    ]
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *sorted(dtypes, key=lambda dtype: dtype.__name__),
        *functions,
        (_statistic_of_history, 'builtins.getattr'),
    ]


def bridge_checkpoints() -> None:
    """Let MMEngine resume its own checkpoints under ``weights_only=True``.

    Symptom: "Weights only load failed … HistoryBuffer" on resume or load.
    Cause: MMEngine stores its message hub, made of HistoryBuffer and NumPy values, beside the
    tensors. A HistoryBuffer pickles its statistics, such as ``HistoryBuffer.mean``, by ``getattr``.
    Applies: torch >= 2.6, which unpickles tensors only. The bridge allows the parts of a message
    hub, and in place of ``getattr`` a function that fetches a statistic and nothing else. Older
    releases read checkpoints by ``restricted_pickle``.
    """
    import torch
    from packaging.version import Version

    if Version(torch.__version__).release >= (2, 6):
        torch.serialization.add_safe_globals(checkpoint_globals())
