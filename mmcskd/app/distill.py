"""`mmcskd distill`: from a folder of images to a distilled student, step by step."""

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union

from mmengine.config import Config

from ..checks.suggest import nearest
from ..runs.atomic_file import AtomicBackend
from ..version import __version__
from . import configs_of_run
from .data_folder import inspect
from .evaluation import evaluate, write_json
from .launch import build_student
from .models_by_name import SMALL_STUDENTS, SMALL_TEACHERS, small_size
from .recipe import choose
from .run import Run
from .training import train

STEPS = ('teacher', 'student', 'baseline')


def distill(
    data: Union[str, Path],
    teacher: str = 'small-cnn',
    student: str = 'small-vit',
    epochs: Optional[int] = None,
    out: Optional[Union[str, Path]] = None,
    *,
    baseline: bool = False,
    size: Optional[int] = None,
    seed: int = 0,
    devices: int = 1,
    teacher_epochs: Optional[int] = None,
    augment: Optional[str] = None,
    val: float = 0.15,
    test: float = 0.15,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    dry_run: bool = False,
    verbose: bool = False,
) -> Run:
    """Teach a vision transformer the classes of a folder of images by CSKD."""
    arguments = dict(locals())
    journey = _Journey(Path(out or Path('runs') / Path(data).resolve().name), devices, verbose)
    journey.remember(arguments)
    say = journey.say
    say('Data')
    found = inspect(data, journey.out, val, test, seed)
    print(*(f'  {line}' for line in found.lines()), sep='\n')
    datasets = {split: _of(found, split) for split in found.counts}
    images = len(found.split('train'))
    side = size or small_size(min(found.size['median']))
    classes = len(found.classes)
    setting = configs_of_run.Setting(
        datasets, classes, augment or 'photo', seed, devices, amp=False
    )
    known = dict(teacher=SMALL_TEACHERS, student=SMALL_STUDENTS)
    models = {}
    for role, name in (('teacher', teacher), ('student', student)):
        if name not in known[role]:
            raise ValueError(f'--{role} "{name}" is unknown. ' + nearest(name, known[role]))
        models[role] = known[role][name](classes, side)

    recipe = choose('teacher', images, side, models['teacher'].weights is not None, teacher_epochs)
    text = configs_of_run.teacher_config(
        models['teacher'], recipe, setting, str(journey.folder('teacher'))
    )
    teacher_mark = journey.write('teacher', text, found)
    options: Dict[str, Any] = dict(epochs=epochs, batch_size=batch_size, lr=lr)
    recipe = choose('student', images, side, models['student'].weights is not None, **options)
    text = configs_of_run.student_config(
        models['student'],
        recipe,
        setting,
        str(journey.folder('student')),
        models['teacher'],
        str(journey.folder('teacher') / 'teacher.pth'),
    )
    journey.write('student', text, found, teacher_mark)
    if baseline:
        recipe = choose('baseline', images, side, models['student'].weights is not None, **options)
        text = configs_of_run.baseline_config(
            models['student'], recipe, setting, str(journey.folder('baseline'))
        )
        journey.write('baseline', text, found)
    names = dict(teacher=models['teacher'].name, student=f'{models["student"].name}, CSKD')
    if baseline:
        names['baseline'] = f'{models["student"].name} alone'
    if dry_run:
        print('Written, nothing trained:', *(journey.folder(step) / 'config.py' for step in names))
        return Run(journey.out)
    for step in names:
        journey.bring_to_end(step, names[step])
    run = Run(journey.out)
    print(run.table())
    return run


def _of(found: Any, split: str) -> Callable:
    return lambda pipeline: found.dataset(split, pipeline)


class _Journey:
    """The steps in a folder: each one's config, fingerprint, training and evaluation."""

    def __init__(self, out: Path, devices: int, verbose: bool) -> None:
        self.out = out.resolve()
        self.devices = devices
        self.verbose = verbose
        self.out.mkdir(parents=True, exist_ok=True)

    def say(self, heading: str) -> None:
        print(f'\n{heading}', flush=True)

    def remember(self, arguments: Dict[str, Any]) -> None:
        """Write command.json."""
        plain = {key: str(v) if isinstance(v, Path) else v for key, v in arguments.items()}
        write_json(
            dict(
                arguments=plain,
                command=spelt_command(plain),
                versions=versions(),
                seed=arguments['seed'],
            ),
            self.out / 'command.json',
        )

    def folder(self, step: str) -> Path:
        return self.out / step

    def write(self, step: str, text: str, found: Any, upstream: str = '') -> str:
        """Write a step's config and fingerprint; a folder with another one is renamed.

        Returns:
            str: The fingerprint, of everything on which the step's result depends.
        """
        folder = self.folder(step)
        sha = hashlib.sha256(f'{__version__}\n{upstream}\n{text}'.encode())
        for split in found.counts:
            for name, label in found.split(split):
                sha.update(f'{split} {name} {label}\n'.encode())
        mark = folder / 'fingerprint'
        if folder.exists() and (not mark.exists() or mark.read_text() != sha.hexdigest()):
            aside = folder.with_name(f'{step}.{time.strftime("%Y%m%d_%H%M%S")}')
            folder.rename(aside)
            print(f'  The old {step} is another one: kept as {aside.name}.')
        folder.mkdir(parents=True, exist_ok=True)
        AtomicBackend().put_text(text, folder / 'config.py')
        AtomicBackend().put_text(sha.hexdigest(), mark)
        return sha.hexdigest()

    def bring_to_end(self, step: str, name: str) -> None:
        """Train and evaluate, unless that is done."""
        folder = self.folder(step)
        metrics = folder / 'metrics.json'
        self.say(f'{step.capitalize()}: {name}')
        if metrics.exists():
            print('  is there.')
            return
        config = folder / 'config.py'
        start = time.time()
        train(config, self.devices, self.verbose)
        cfg = Config.fromfile(config)
        checkpoint = Path((folder / 'last_checkpoint').read_text().strip())
        if step == 'teacher':
            shutil.copyfile(checkpoint, folder / 'teacher.pth')
            checkpoint = folder / 'teacher.pth'
        model = build_student(cfg, str(checkpoint))
        splits = {
            split: cfg[f'{split}_dataloader'].dataset
            for split in ('val', 'test')
            if cfg.get(f'{split}_dataloader')
        }
        results = evaluate(model, splits, cfg.val_dataloader.batch_size, folder)
        write_json(
            dict(
                name=name,
                config='config.py',
                checkpoint=checkpoint.name,
                params=sum(weight.numel() for weight in model.parameters()),
                epochs=cfg.train_cfg.max_epochs,
                seconds=round(time.time() - start, 1),
                **results,
            ),
            metrics,
        )


def versions() -> Dict[str, str]:
    """The releases on which a result depends."""
    import platform

    import mmengine
    import mmpretrain
    import mmrazor
    import torch
    import torchvision

    return dict(
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        mmengine=mmengine.__version__,
        mmpretrain=mmpretrain.__version__,
        mmrazor=mmrazor.__version__,
        mmcskd=__version__,
    )


def spelt_command(arguments: Dict[str, Any]) -> str:
    """The command line of a call."""
    import shlex

    parts: List[str] = ['mmcskd', 'distill', shlex.quote(str(arguments['data']))]
    for name, value in arguments.items():
        if name == 'data' or value is None or value is False:
            continue
        option = '--' + name.replace('_', '-')
        parts.append(option if value is True else f'{option} {shlex.quote(str(value))}')
    return ' '.join(parts)
