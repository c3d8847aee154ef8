import functools
import os
import re
from typing import Any


def bridge_checkpoint_paths() -> None:
    """Keep ``CheckpointHook`` from removing files that the run did not write.

    Symptom: after ``--work-dir B --resume A/epoch_3.pth`` the best checkpoint of A is removed at
    the first improvement of B; a checkpoint of a stranger has any file or directory removed.
    Cause: the hook takes the path of the best checkpoint, and the numbers of those to remove, from
    the message hub of the checkpoint that is resumed.
    Applies: every run. Left are paths directly in the run's own directory, by names that the hook
    gives, and numbers; where another directory's checkpoint is resumed, none.
    """
    from mmengine.hooks import CheckpointHook

    stock = CheckpointHook.before_train
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def before_train(self, runner) -> None:
        _forget_foreign(self, runner)
        stock(self, runner)

    CheckpointHook.before_train = before_train


def _forget_foreign(hook, runner) -> None:
    info = runner.message_hub.runtime_info
    home = _home(hook, runner)
    resumed = getattr(runner, '_load_from', None) if getattr(runner, '_resume', False) else None
    elsewhere = resumed is not None and _folder(resumed) not in (home, _real(runner.work_dir))
    for key in [key for key in info if key.startswith('best_ckpt')]:
        if elsewhere or not _is_best(info[key], home, hook.filename_tmpl):
            runner.logger.warning(
                f'The checkpoint resumed from names the best one {info[key]!r}, which this run '
                f'did not write to {home}: it is left as it is.'
            )
            del info[key]
    for key in ('keep_ckpt_ids', 'dropped_ckpt_ids'):
        if key in info:
            given = info[key] if isinstance(info[key], (list, tuple)) else []
            info[key] = [] if elsewhere else [step for step in given if _is_step(step)]


def _home(hook, runner) -> str:
    """Where the hook is about to write, as it finds it itself."""
    if hook.out_dir in (None, runner.work_dir):
        return _real(runner.work_dir)
    name = os.path.basename(runner.work_dir.rstrip(os.sep))
    return _real(f'{str(hook.out_dir).rstrip("/")}/{name}')


def _is_best(path: Any, home: str, template: str) -> bool:
    if not isinstance(path, str) or _folder(path) != home:
        return False
    kept = re.escape(template).replace(r'\{\}', r'\d+')
    return re.fullmatch(f'best_.+_{kept}', os.path.basename(path)) is not None


def _is_step(step: Any) -> bool:
    return type(step) is int and step >= 0


def _folder(path: str) -> str:
    return _real(os.path.dirname(path))


def _real(folder: str) -> str:
    return folder if '://' in folder else os.path.realpath(folder)
