"""One run: train by MMEngine's runner, measure, and say what it was."""

import logging
import platform
import shutil
import time
import warnings
from pathlib import Path
from typing import Dict, NamedTuple, Optional

import mmpretrain
import mmrazor
import torch
from arms import SECOND, SETTINGS, TEACHER, TEACHERS, Run, student_file, teacher_file
from beyond import side_by_side
from head_accuracy import HEADS, CurveHook, canvases, classes_of, measure
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, save_checkpoint
from mmpretrain.registry import MODELS
from torch import nn

import mmcskd
from mmcskd.bank.bank_writer import BankWriter
from mmcskd.runs.safe_loading import read
from mmcskd.runs.weights import digest, load_weights

POINTS = 8  # of a curve, besides the first epoch


class PlainConfig(Config):
    """A config whose text is not laid out, for which a short run takes half its time."""

    @property
    def pretty_text(self) -> str:
        """Valid Python, a line for each key."""
        return ''.join(f'{key} = {value!r}\n' for key, value in self.to_dict().items())


class Outcome(NamedTuple):
    """What a run gives."""

    curve: Dict[int, Dict[str, float]]
    """Measures on the validation split after epochs."""
    test: Dict[str, float]
    """Measures on the test split at the end; empty for a run that is to choose hyperparameters."""
    origin: Dict[str, object]
    """What made it: config, teacher, CPU seconds and versions."""


def train(run: Run, work_dir: Path, tuning: bool = False, last: Optional[int] = None) -> Outcome:
    """Train a student whose teacher is there, and measure it.

    Args:
        run (Run): What is trained.
        work_dir (Path): Of teachers and logs.
        tuning (bool): Whether the result decides something, so that the test split is out of
            bounds. Defaults to False.
        last (int, optional): Stop after so many epochs, by the schedule of the whole run. Defaults
            to None: at the end.
    """
    start = time.process_time()
    cfg, setting = run.config(work_dir), SETTINGS[run.setting]
    if tuning:
        cfg.merge_from_dict(dict(setting.tuning))
    bank = cfg.model.get('bank')
    if bank:
        BankWriter(PlainConfig(cfg.to_dict()), bank.path).write(0, cfg.train_cfg.max_epochs)
    runner = _runner(cfg)
    student = runner.model.architecture
    dataset, preprocessor = cfg.train_dataloader.dataset, runner.model.data_preprocessor
    validation = canvases(dataset, 'validation', setting.validation, preprocessor)
    teacher = teacher_of(cfg)
    epochs = runner.max_epochs
    curve = CurveHook(
        student,
        validation,
        classes_of(teacher, validation.images),
        max(1, epochs // POINTS),
        last,
    )
    runner.register_hook(curve)
    runner.train()
    test = {}
    if not tuning and last is None:
        data = canvases(dataset, 'test', setting.test, preprocessor)
        test = measure(student, data, classes_of(teacher, data.images))
        _save(student.state_dict(), student_file(work_dir, run))
    if bank:
        shutil.rmtree(bank.path)
    points = {epoch: _told(found, student) for epoch, found in curve.points.items()}
    return Outcome(points, _told(test, student), origin_of(run, teacher, start))


def train_teacher(run: Run, work_dir: Path) -> Outcome:
    """Train a setting's teacher, measure it and keep its weights; seed 1 makes the second one."""
    start = time.process_time()
    cfg = run.config(work_dir)
    runner = _runner(cfg)
    runner.train()
    length = SETTINGS[run.setting].test
    data = canvases(cfg.train_dataloader.dataset, 'test', length, runner.model.data_preprocessor)
    right = classes_of(runner.model, data.images) == data.labels
    test = dict(score=100 * right.float().mean().item())
    path = teacher_file(work_dir, run.setting, SECOND if run.seed else TEACHER)
    _save(runner.model.state_dict(), path)
    return Outcome({}, test, origin_of(run, runner.model, start))


def join_teachers(work_dir: Path, setting: str) -> None:
    """Make one file of a setting's two teachers, for the arm that has both."""
    files = [teacher_file(work_dir, setting, name) for name in (TEACHER, SECOND)]
    _save(side_by_side([read(file) for file in files]), teacher_file(work_dir, setting, TEACHERS))


def teacher_of(cfg: Config) -> nn.Module:
    """The teacher of a student's config, with its batch norms: a run folds those of its own."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        teacher = MODELS.build(cfg.model.teacher)
    load_weights(teacher, cfg.model.teacher_ckpt)
    return teacher.eval()


def origin_of(run: Run, teacher: nn.Module, start: float) -> Dict[str, object]:
    """Values of the columns ``results.ORIGIN``, of a run that began at so many CPU seconds."""
    return dict(
        config=run.key(),
        teacher=digest(teacher),
        seconds=round(time.process_time() - start),
        python=platform.python_version(),
        torch=torch.__version__,
        mmpretrain=mmpretrain.__version__,
        mmrazor=mmrazor.__version__,
        mmcskd=mmcskd.__version__,
    )


def _save(weights: dict, path: Path) -> None:
    save_checkpoint(weights, str(path), backend_args=dict(backend='atomic'))


def _runner(cfg) -> Runner:
    warnings.filterwarnings('ignore')
    runner = Runner.from_cfg(PlainConfig(cfg.to_dict()))
    runner.logger.setLevel(logging.WARNING)
    return runner


def _told(found: Dict[str, float], student: nn.Module) -> Dict[str, float]:
    """Measures of heads that nothing taught are left out."""
    untaught = () if 'dist' in student.vote else (*HEADS[1:], 'average')
    return {name: value for name, value in found.items() if name not in untaught}
