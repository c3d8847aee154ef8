"""``pickle`` that builds tensors, plain values and MMEngine's message hub, and calls nothing else.

For ``torch.load(…, pickle_module=restricted_pickle)`` with torch < 2.6; newer releases have their
own.
"""

import pickle
from collections import Counter, OrderedDict

import torch

from ..compat import checkpoint_globals

Pickler = pickle.Pickler
UnpicklingError = pickle.UnpicklingError


def _bytes(text: str, encoding: str) -> bytes:
    """Replaces ``_codecs.encode``, which encodes bytes in the protocol of ``torch.save``."""
    if encoding != 'latin1':
        raise UnpicklingError(f'A checkpoint may not encode by {encoding!r}.')
    return text.encode('latin1')


def _allowed() -> dict:
    """The names that a checkpoint may use: torch's own list and the parts of a message hub."""
    from torch._weights_only_unpickler import _get_allowed_globals

    found = dict(_get_allowed_globals())
    # Plain values on the list of torch 2.6 that 2.0 lacks.
    plain = (bytearray, complex, set, Counter, torch.device)
    found.update((f'{known.__module__}.{known.__qualname__}', known) for known in plain)
    found.update(
        (str(value), value) for value in vars(torch).values() if type(value) is torch.dtype
    )
    found['_codecs.encode'] = _bytes
    for entry in checkpoint_globals():
        known, name = entry if isinstance(entry, tuple) else (entry, None)
        found[name or f'{known.__module__}.{known.__qualname__}'] = known
    return found


class Unpickler(pickle._Unpickler):
    """In Python rather than C, as what an opcode may do is checked here."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.allowed = _allowed()

    def find_class(self, module, name):
        # Python 2 wrote `__builtin__`.
        full = f'{module.replace("__builtin__", "builtins")}.{name}'
        if full not in self.allowed:
            raise UnpicklingError(f'A checkpoint may not name {full}.')
        return self.allowed[full]

    def _check(self, function):
        if not any(function is known for known in self.allowed.values()):
            raise UnpicklingError(f'A checkpoint may not call {function!r}.')

    def load_reduce(self):
        self._check(self.stack[-2])
        super().load_reduce()

    def load_newobj(self):
        self._check(self.stack[-2])
        super().load_newobj()

    def load_build(self):
        """Set the state of objects, never of a class or function."""
        target = self.stack[-2]
        if not isinstance(target, (OrderedDict, torch.Tensor)) and type(target) not in {
            known for known in self.allowed.values() if isinstance(known, type)
        }:
            raise UnpicklingError(f'A checkpoint may not set the state of {target!r}.')
        super().load_build()

    def _refuse(self):
        raise UnpicklingError('A checkpoint may not use this opcode.')

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    for _code in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        dispatch[_code[0]] = _refuse


def load(file, **kwargs):
    """As ``pickle.load``, for files older than torch 1.6."""
    return Unpickler(file, **kwargs).load()
