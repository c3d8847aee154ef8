"""`mmcskd distill`: from one's own images to a distilled student, step by step."""

import os
import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from . import configs_of_run
from .configs_of_run import Setting
from .data_folder import inspect
from .data_found import DataFound
from .deployment import check_target, measure_deployment
from .journey import Journey, Step
from .log import quietly
from .model_weights import fetch
from .models_by_name import NamedModel, answers, find_model
from .pair_check import check_pair
from .recipe import SMALL_SIDE, choose
from .run import Run
from .small_models import SMALL

AUGMENTS = ('photo', 'light')
EXPORTS = ('onnx', 'none')


@quietly()
def distill(
    data: Union[str, Path],
    teacher: Optional[str] = None,
    student: Optional[str] = None,
    epochs: Optional[int] = None,
    out: Optional[Union[str, Path]] = None,
    *,
    baseline: bool = False,
    size: Optional[int] = None,
    teacher_size: Optional[int] = None,
    teacher_epochs: Optional[int] = None,
    seed: int = 0,
    devices: int = 1,
    teacher_weights: Optional[str] = None,
    student_weights: Optional[str] = None,
    augment: Optional[str] = None,
    bank: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    amp: Optional[bool] = None,
    export: str = 'onnx',
    dry_run: bool = False,
    verbose: bool = False,
) -> Run:
    """Teach a vision transformer the classes of one's own images by CSKD+.

    The steps: look at the data; fine-tune the teacher on them, unless it answers their classes
    already; distil the student; train the same student without a teacher, if asked; evaluate them
    on val and test; export; report. Each is a config in ``out``, trained by ``tools/train.py`` in a
    process of its own. A step that is done is not repeated, an interrupted one goes on; with
    another argument the steps that depend on it are repeated, and the old folders renamed.

    Args:
        data (str | Path): Folder of class folders, folder of ``train``, ``val`` and ``test``, an
            annotation file of MMPretrain (``.txt``), or a config.
        teacher (str, optional): Name of a CNN, see :func:`mmcskd.app.models_by_name.find_model`.
            Defaults to None: ``'timm:regnety_040'``, or for pictures of at most 64 pixels
            ``'small-cnn'``, which needs no weights.
        student (str, optional): Name of a transformer. Defaults to None: ``'deit-tiny'``, or for
            such pictures ``'small-vit'``.
        epochs (int, optional): Of student and baseline. Defaults to None: by the number of images,
            see :mod:`mmcskd.app.recipe`.
        out (str | Path, optional): Folder of the run. Defaults to None: ``runs/<name of data>``.
        baseline (bool): Also train the student without a teacher. Defaults to False.
        size (int, optional): Side of the student's images. Defaults to None: the model's own.
        teacher_size (int, optional): Side of the teacher's images. Defaults to None: its own.
        teacher_epochs (int, optional): Of the teacher. Defaults to None: by the number of images.
        seed (int): Of the split and of every training. Defaults to 0.
        devices (int): Number of processes: GPUs, or shares of the CPU. Defaults to 1.
        teacher_weights (str, optional): File or URL to start from, ``'none'`` for scratch. Defaults
            to None: the published ones.
        student_weights (str, optional): As for the teacher. Defaults to None.
        augment (str, optional): ``'photo'``: flip, crop, colours, CutMix, mixup; ``'light'``: shift
            and CutMix, for letters, digits, signs. Defaults to None: photo.
        bank (bool): Whether the teacher's responses are kept in ``out``, from which every further
            student learns without the teacher. The first one sees each view once, and so does the
            teacher with or without a bank: it pays from the second student on. Defaults to False.
        val (float): Share of val, if the data have none. Defaults to 0.15.
        test (float): Share of test, if the data have neither. Defaults to 0.15.
        batch_size (int, optional): Of student and baseline, in all. Defaults to None.
        lr (float, optional): Learning rate of student and baseline. Defaults to None.
        amp (bool, optional): Mixed precision, bfloat16. Defaults to None: on a GPU that has it.
        export (str): ``'onnx'`` or ``'none'``. Defaults to ``'onnx'``.
        dry_run (bool): Write the configs and stop. Defaults to False.
        verbose (bool): MMEngine's log on the terminal. Defaults to False.

    Returns:
        Run: The finished run, or the written one.

    Raises:
        ValueError: In one sentence with the option, for what cannot be.
        RuntimeError: If a training fails.
        KeyboardInterrupt: If it is interrupted; the same call goes on.
    """
    arguments = dict(locals())
    _check(arguments)
    name = Path(os.path.abspath(os.path.expanduser(data))).stem
    journey = Journey(Path(out) if out else Path('runs') / name, devices, verbose)
    journey.say('Data')
    found = inspect(data, journey.out, val, test, seed)
    print(*(f'  {line}' for line in found.lines()), sep='\n', flush=True)
    small = min(found.size['median']) <= SMALL_SIDE
    teacher = teacher or ('small-cnn' if small else 'timm:regnety_040')
    student = student or ('small-vit' if small else 'deit-tiny')
    models = dict(
        teacher=_model('teacher', teacher, found, teacher_weights, teacher_size),
        student=_model('student', student, found, student_weights, size),
    )
    setting = Setting(found, augment or 'photo', seed, devices, _amp(amp))
    images = len(found.split('train'))
    options: Dict[str, Any] = dict(epochs=epochs, batch_size=batch_size, lr=lr)

    def recipe(role: str, model: NamedModel, **given):
        tiny = model.size <= SMALL_SIDE or model.name in SMALL
        chosen = choose(role, images, tiny, model.weights is not None, **given)
        return chosen._replace(batch_size=max(1, chosen.batch_size // devices) * devices)

    steps = []
    own = models['teacher']
    text = configs_of_run.teacher_config(
        own, recipe('teacher', own, epochs=teacher_epochs), setting, str(journey.out / 'teacher')
    )
    ready = own.weights if answers(own, found.classes) else None
    steps.append(Step('teacher', own.name, text, found, weights=ready))
    pupil = models['student']
    text = configs_of_run.student_config(
        pupil,
        recipe('student', pupil, **options),
        setting,
        str(journey.out / 'student'),
        own,
        str(journey.out / 'teacher' / 'teacher.pth'),
        str(journey.out / 'bank') if bank else None,
    )
    check_pair(own, pupil, text)
    steps.append(Step('student', f'{pupil.name}, CSKD+', text, found, steps[0], bank=bank))
    if baseline:
        text = configs_of_run.baseline_config(
            pupil, recipe('baseline', pupil, **options), setting, str(journey.out / 'baseline')
        )
        steps.append(Step('baseline', f'{pupil.name} without a teacher', text, found))
    journey.remember(arguments)
    for step in steps:
        journey.write(step)
    if dry_run:
        print('\nNothing is trained. These configs are written:')
        print(*(f'  {journey.out / step.name / "config.py"}' for step in steps), sep='\n')
        return Run(journey.out)
    for step in steps:
        journey.bring_to_end(step)
    run, refused = Run(journey.out), None
    if export != 'none':
        journey.say(f'Export: {export}')
        try:
            print(*(f'  {line}' for line in _exported(run, export)), sep='\n', flush=True)
        except ValueError as error:  # that of a student that this format has no place for
            refused = f'--export {export}: {error}'
    journey.say('Report')
    measure_deployment(run.out)
    print(f'  {run.report()}\n')
    print(run.table())
    print(f'\nNext: mmcskd predict {shlex.quote(str(out or run.out))} IMAGE …', flush=True)
    if refused:
        raise ValueError(refused)
    return run


def _exported(run: Run, to: str) -> List[str]:
    """Export the student, unless that is done since it was trained."""
    record = run.out / 'export.json'
    trained = run.out / 'student' / 'metrics.json'
    if record.exists() and record.stat().st_mtime_ns > trained.stat().st_mtime_ns:
        return ['is there already.']
    return run.export(to=to, force=True)


def _model(
    role: str, name: str, found: DataFound, weights: Optional[str], size: Optional[int]
) -> NamedModel:
    model = find_model(role, name, found.classes, found.size['median'], weights)
    if size is not None:
        model = model.resized(size, '--size' if role == 'student' else '--teacher-size')
    if model.weights is not None and '://' in model.weights:
        # Fetched once, before anything is trained; the runs find it where MMEngine keeps it.
        fetch(model.name, model.weights, f'--{role}-weights')
    return model


def _amp(amp: Optional[bool]) -> bool:
    import torch

    if amp is None:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return amp


def _check(arguments: Dict[str, Any]) -> None:
    for name in ('epochs', 'teacher_epochs', 'batch_size', 'size', 'teacher_size', 'devices'):
        value = arguments[name]
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f'--{name.replace("_", "-")} {value}: expected a whole number > 0.')
    if type(arguments['seed']) is not int or not 0 <= arguments['seed'] < 2**32:
        raise ValueError(f'--seed {arguments["seed"]}: expected a whole number of 0 to 2³² - 1.')
    batch, devices = arguments['batch_size'], arguments['devices']
    if batch is not None and batch % devices:
        raise ValueError(f'--batch-size {batch} is no multiple of --devices {devices}.')
    if arguments['lr'] is not None and not 0 < arguments['lr'] < 1:
        raise ValueError(f'--lr {arguments["lr"]}: expected a number between 0 and 1.')
    if arguments['augment'] not in (None, *AUGMENTS):
        raise ValueError(f'--augment "{arguments["augment"]}": expected one of {AUGMENTS}.')
    if arguments['export'] not in EXPORTS:
        raise ValueError(f'--export "{arguments["export"]}": expected one of {EXPORTS}.')
    if arguments['export'] != 'none' and not arguments['dry_run']:
        check_target(arguments['export'], '--export')
