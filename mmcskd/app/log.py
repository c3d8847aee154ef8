"""The log of a run: short before its first iteration, with a summary at its end."""

import contextlib
import logging
import os
import shlex
from pathlib import Path
from typing import List

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

# What MMEngine logs at length, and whether it is kept in a file of its own.
LONG = {
    'Config:\n': False,  # it has one
    'Hooks will be executed in the following order': True,
    'paramwise_options -- ': True,
    f'\n{"-" * 60}\nSystem environment:': True,
}
# Of MMEngine's checkpoint hook, which still uses what these advise against.
HARMLESS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class ShortLog(logging.Filter):
    """Keep long messages in a file, and harmless warnings out.

    Args:
        path (Path): The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for begin, kept in LONG.items():
            if message.startswith(begin):
                if kept and is_main_process():
                    with open(self.path, 'a', encoding='utf-8') as file:
                        file.write(message.strip() + '\n')
                return False
        return not message.startswith(HARMLESS)


@contextlib.contextmanager
def quietly():
    """Keep off the terminal what the packages below say.

    That is MMEngine of each model that is built and loaded, onnxruntime, by Python's root logger,
    of what could be done before a quantisation, and the hub's client of each of its attempts.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    talkers = MMLogger.get_current_instance(), logging.getLogger('huggingface_hub')
    levels = [each.level for each in talkers]
    for each in talkers:
        each.setLevel('ERROR')
    root.addHandler(silent)
    try:
        yield
    finally:
        for each, level in zip(talkers, levels):
            each.setLevel(level)
        root.removeHandler(silent)


def summary(runner: Runner, config: str, tools: str) -> List[str]:
    """What a training has led to, and what comes next.

    Args:
        runner (Runner): After its training.
        config (str): Path of the config.
        tools (str): The folder of ``test.py`` and ``export_student.py``.

    Returns:
        list[str]: Its last lines.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None or hook.last_ckpt is None:
        return ['The training is over; no checkpoint was saved.']
    lines: List[str] = []
    info = runner.message_hub.runtime_info
    metrics = getattr(hook, 'key_indicators', None) or ()
    several, chosen = len(metrics) > 1, hook.last_ckpt
    for name in reversed(metrics):
        end = f'_{name}' if several else ''
        if f'best_score{end}' in info and f'best_ckpt{end}' in info:
            chosen = info[f'best_ckpt{end}']
            lines.insert(0, f'Best {name}: {info[f"best_score{end}"]:.4g}, in {short(chosen)}')
    lines.append(f'Last checkpoint: {short(hook.last_ckpt)}')
    test, export = (
        ' '.join(['python', *map(shlex.quote, [short(os.path.join(tools, name)), *arguments])])
        for name, arguments in (
            ('test.py', [short(config), short(chosen)]),
            ('export_student.py', [short(chosen), short(f'{runner.work_dir}/student.pth')]),
        )
    )
    return [*lines, f'To test it:   {test}', f'To export it: {export}']


def short(path: str) -> str:
    """A path from the current folder, if it lies in there."""
    path = os.path.abspath(path)
    inside = os.path.relpath(path)
    return path if inside.startswith('..') else inside
