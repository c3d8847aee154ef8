"""``init_cfg=dict(type='Pretrained')``: completely or not at all."""

import re
from contextlib import contextmanager
from typing import Any, Iterator, Tuple

from mmengine.model import PretrainedInit
from torch import nn

from .weights import read_checkpoint

BUFFERS = ('running_mean', 'running_var')


@contextmanager
def complete_init(model: nn.Module) -> Iterator[None]:
    """Let MMEngine's ``PretrainedInit`` refuse what it would leave random.

    Renamings and resizings that a module registers for its own weights are used, as by MMEngine.

    Args:
        model (nn.Module): What the config calls ``model``, for messages.

    Yields:
        None: In it a ``ValueError`` names the ``init_cfg`` and a weight of its module that the file
        lacks, or has in another shape.
    """
    load = PretrainedInit.__call__

    def load_completely(self: PretrainedInit, module: nn.Module) -> None:
        names = (name for name, each in model.named_modules() if each is module and name)
        key = '.'.join(['model', *names, 'init_cfg'])
        given = f'{key}.checkpoint="{self.checkpoint}"'
        state = dict(_of_prefix(read_checkpoint(self.checkpoint, given), self.prefix))
        if not state:
            raise ValueError(f'{given} has no weights under {key}.prefix="{self.prefix}".')
        try:
            missing = module.load_state_dict(state, strict=False).missing_keys
        except RuntimeError as error:
            raise ValueError(f'{given} does not fit: {error}') from error
        learnt = dict(module.named_parameters())
        missing = [name for name in missing if name in learnt or name.endswith(BUFFERS)]
        if missing:
            raise ValueError(
                f'{given} lacks {len(missing)} of the {len(learnt)} weights of '
                f'{type(module).__name__}, which would stay random; the first is "{missing[0]}". '
                f'The file begins with "{next(iter(state))}": set {key}.prefix to what its names '
                'begin with, or use DistilledInitHook, which says what it makes anew.'
            )
        load(self, module)

    setattr(PretrainedInit, '__call__', load_completely)  # noqa: B010
    try:
        yield
    finally:
        setattr(PretrainedInit, '__call__', load)  # noqa: B010


def _of_prefix(content: Any, prefix: Any) -> Iterator[Tuple[str, Any]]:
    """The weights that MMEngine would take."""
    state = content.get('state_dict', content)
    start = '' if prefix is None else prefix.rstrip('.') + '.'
    for name, value in state.items():
        name = re.sub(r'^module\.', '', name)
        if name.startswith(start):
            yield name[len(start) :], value
