"""The starts of one run: MMEngine gives each a folder of logs, named by its time."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Dict, List

from mmengine.dist import is_main_process

from .atomic_file import AtomicBackend

FILE = 'resumed.json'


def note_resume(runner, meta: dict) -> None:
    """Write beside the logs of this start of which start its checkpoint is.

    Args:
        runner (Runner): The run that resumes.
        meta (dict): Of the checkpoint; MMEngine ends ``experiment_name`` with the start's time.
    """
    start = str(meta.get('experiment_name'))[-len(runner.timestamp) :]
    if is_main_process():
        note = Path(runner.work_dir) / runner.timestamp / FILE
        with suppress(OSError):  # of a full disk: plots then lack what was before
            AtomicBackend().put_text(json.dumps(dict(start=start)), note)


def starts(folders: List[Path]) -> List[Path]:
    """The starts of the newest run, from its first one.

    Args:
        folders (list[Path]): Folders of logs in a work directory, oldest first.

    Returns:
        list[Path]: The newest one behind those that it resumed. A start that resumed nothing, or
        a checkpoint of another directory, begins a run.
    """
    before: Dict[str, Path] = {}
    chains: Dict[Path, List[Path]] = {}
    for folder in folders:
        chains[folder] = [*chains.get(before.get(_resumed(folder), folder), []), folder]
        before[folder.name] = folder
    return chains[folders[-1]]


def _resumed(folder: Path) -> str:
    try:
        return str(json.loads((folder / FILE).read_text(encoding='utf-8'))['start'])
    except (OSError, ValueError, KeyError, TypeError):
        return ''
