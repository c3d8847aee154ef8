"""Arguments of MMEngine's ``CheckpointHook``, which checks only some of them."""

from pathlib import Path
from typing import List, Optional, Sequence, Union

from ..checks.typed import fits, spelt

NAMES = Optional[Union[str, Sequence[str]]]
OPTIONS = dict(
    interval=int,
    by_epoch=bool,
    save_optimizer=bool,
    save_param_scheduler=bool,
    out_dir=Optional[Union[str, Path]],
    max_keep_ckpts=int,
    save_last=bool,
    save_best=Optional[Union[str, List[str]]],
    rule=Optional[Union[str, List[str]]],
    greater_keys=NAMES,
    less_keys=NAMES,
    file_client_args=Optional[dict],
    filename_tmpl=Optional[str],
    backend_args=Optional[dict],
    published_keys=NAMES,
    save_begin=int,
)


def check_options(options: dict) -> None:
    """Refuse values that would fail at the first save or never save.

    Args:
        options (dict): Arguments of a ``CheckpointHook``.

    Raises:
        TypeError: For a value of another type.
        ValueError: For a value out of range.
    """
    place = 'default_hooks.checkpoint'
    for name, value in options.items():
        hint = OPTIONS.get(name)
        if hint is not None and not fits(value, hint):
            raise TypeError(f'{place}.{name} is {value!r}, expected {spelt(hint)}.')
    for name in ('interval', 'max_keep_ckpts'):
        if options.get(name, -1) == 0 or options.get(name, -1) < -1:
            never = 'never' if name == 'interval' else 'all of them'
            raise ValueError(
                f'{place}.{name} is {options[name]}, expected a number > 0, or -1: {never}.'
            )
    if options.get('save_begin', 0) < 0:
        raise ValueError(f'{place}.save_begin is {options["save_begin"]}, expected >= 0.')
    template = options.get('filename_tmpl')
    if template is not None and (template.count('{}') != 1 or '/' in template):
        raise ValueError(
            f'{place}.filename_tmpl is {template!r}, expected a file name with one "{{}}" for the '
            'epoch or iteration.'
        )
