"""The steps of `mmcskd distill` in a folder: config, fingerprint, training, evaluation."""

import hashlib
import os
import platform
import shlex
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from mmengine.config import Config
from mmengine.runner import save_checkpoint

from ..runs.atomic_file import AtomicBackend
from ..runs.weights import read_checkpoint
from ..version import __version__
from .data_found import DataFound
from .evaluation import evaluate, write_json
from .launch import build_student
from .model_weights import home
from .training import train

PACKAGES = ('torch', 'torchvision', 'mmengine', 'mmpretrain', 'mmrazor', 'timm')


@dataclass
class Step:
    """One model to be trained and evaluated."""

    name: str
    """``'teacher'``, ``'student'`` or ``'baseline'``: its folder."""
    title: str
    config: str
    """Python source text."""
    found: DataFound
    upstream: Optional['Step'] = None
    """The step that gives it a teacher."""
    weights: Optional[str] = None
    """Its weights, if it need not be trained."""
    bank: bool = False
    """Whether it learns from a bank."""

    def fingerprint(self, out: Path) -> str:
        """A digest of all that its result depends on; the same in another folder of a run.

        Args:
            out (Path): The folder of the run.
        """
        text = self.config.replace(str(out), 'OUT').replace(self.found.root, 'DATA')
        above = self.upstream.fingerprint(out) if self.upstream else ''
        parts = (__version__, above, text, self.weights, self.found.digest)
        return hashlib.sha256('\n'.join(map(str, parts)).encode()).hexdigest()


class Journey:
    """The folder of a run.

    Args:
        out (Path): The folder; made if it is not there.
        devices (int): Number of processes of a training.
        verbose (bool): Whether MMEngine's log goes to the terminal.
    """

    def __init__(self, out: Path, devices: int, verbose: bool) -> None:
        self.out = Path(os.path.abspath(out.expanduser()))
        self.devices = devices
        self.verbose = verbose
        self.out.mkdir(parents=True, exist_ok=True)

    def say(self, heading: str) -> None:
        """Print a heading."""
        print(f'\n{heading}', flush=True)

    def remember(self, arguments: Dict[str, Any]) -> None:
        """Write command.json: what was asked for, and by which versions.

        Args:
            arguments (dict): Of :func:`mmcskd.distill`.
        """
        plain = {key: str(v) if isinstance(v, Path) else v for key, v in arguments.items()}
        record = dict(
            arguments=plain,
            command=spelt_command(plain),
            versions=versions(),
            seed=arguments['seed'],
        )
        write_json(record, self.out / 'command.json')

    def write(self, step: Step) -> None:
        """Write a step's config; the folder of another one is renamed.

        Args:
            step (Step): The step.
        """
        folder = self.out / step.name
        mark, wanted = folder / 'fingerprint', step.fingerprint(self.out)
        if folder.exists() and (not mark.exists() or mark.read_text() != wanted):
            aside = folder.with_name(f'{step.name}.{time.strftime("%Y%m%d_%H%M%S")}')
            while aside.exists():
                aside = aside.with_name(f'{aside.name}_')
            folder.rename(aside)
            print(f'  The {step.name} of before depends on something else: kept as {aside.name}.')
        folder.mkdir(parents=True, exist_ok=True)
        files = AtomicBackend()
        files.put_text(step.config, folder / 'config.py')
        files.put_text(wanted, mark)

    def bring_to_end(self, step: Step) -> None:
        """Train and evaluate a written step, as far as that is not done.

        Args:
            step (Step): The step.
        """
        folder = self.out / step.name
        self.say(f'{step.name.capitalize()}: {step.title}')
        if (folder / 'metrics.json').exists():
            print('  is there already.', flush=True)
            return
        start = time.time()
        cfg = Config.fromfile(folder / 'config.py')
        weights = folder / f'{step.name}.pth'
        kept = home() / 'teachers' / step.fingerprint(self.out) / 'teacher.pth'
        epochs = 0 if step.weights else cfg.train_cfg.max_epochs
        if weights.exists():
            pass
        elif step.weights:
            print('  answers the classes of the data as it is.', flush=True)
            _save(cfg, step, step.weights, weights)
        elif step.name == 'teacher' and kept.exists():
            print(f'  was trained on these data before: {kept.parent}', flush=True)
            _copy(kept, weights)
        else:
            if step.bank:
                print("  The teacher's responses to all views are written first.", flush=True)
                train(folder / 'config.py', self.devices, self.verbose, bank=True)
            train(folder / 'config.py', self.devices, self.verbose)
            _save(cfg, step, (folder / 'last_checkpoint').read_text().strip(), weights)
            if step.name == 'teacher':
                kept.parent.mkdir(parents=True, exist_ok=True)
                _copy(folder / 'config.py', kept.with_name('config.py'))
                _copy(weights, kept)
        model = build_student(cfg, str(weights))
        splits = {split: cfg[f'{split}_dataloader'].dataset for split in _held_out(step)}
        results = evaluate(model, splits, cfg.val_dataloader, folder)
        write_json(
            dict(
                name=step.title,
                config='config.py',
                checkpoint=weights.name,
                params=sum(weight.numel() for weight in model.parameters()),
                epochs=epochs,
                seconds=round(time.time() - start, 1),
                **results,
            ),
            folder / 'metrics.json',
        )


def _held_out(step: Step):
    return [split for split in ('val', 'test') if split in step.found.counts]


def _save(cfg: Config, step: Step, checkpoint: str, path: Path) -> None:
    """Write a checkpoint's weights, its config and classes; nothing that only training needs."""
    content = read_checkpoint(checkpoint, f'The checkpoint "{checkpoint}"')
    meta = dict(content.get('meta') or {}) if 'state_dict' in content else {}
    meta.setdefault('cfg', cfg.pretty_text)
    meta['dataset_meta'] = dict(classes=tuple(step.found.classes))
    if step.weights:
        meta['cfg'] = cfg.pretty_text
        state = build_student(cfg, checkpoint).state_dict()
    else:
        state = content['state_dict']
    save_checkpoint(
        dict(state_dict=state, meta=meta), str(path), backend_args=dict(backend='atomic')
    )


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f'{target.name}.{os.getpid()}')
    shutil.copyfile(source, partial)
    partial.replace(target)


def versions() -> Dict[str, str]:
    """The releases on which a result depends."""
    found = dict(mmcskd=__version__, python=platform.python_version())
    for name in PACKAGES:
        for known in (name, f'onedl-{name}'):
            try:
                found[name] = version(known)
            except PackageNotFoundError:
                continue
    return dict(found, torch=torch.__version__)


def spelt_command(arguments: Dict[str, Any]) -> str:
    """The command line of a call.

    Args:
        arguments (dict): Of :func:`mmcskd.distill`, as plain values.
    """
    parts = ['mmcskd', 'distill', shlex.quote(str(arguments['data']))]
    for name, value in arguments.items():
        option = '--' + name.replace('_', '-')
        if value is True:
            parts.append(option)
        elif value is False and name == 'amp':
            parts.append('--no-amp')
        elif name != 'data' and value is not None and value is not False:
            parts.append(f'{option} {shlex.quote(str(value))}')
    return ' '.join(parts)
