"""What a run left in its folder, as the report reads it."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import numpy as np

from ...visualization.run_curves import Curve, read_curves

# In the order of every table and figure, with the names that a reader sees.
MODELS = dict(teacher='teacher', baseline='without teacher', student='student')


class Predictions(NamedTuple):
    """The answers of one model to the pictures of one split."""

    files: List[str]
    """The N pictures."""
    labels: np.ndarray
    """(N,), the true classes."""
    probabilities: np.ndarray
    """(N, C)."""

    @property
    def right(self) -> np.ndarray:
        """(N,) of bool."""
        return self.answers == self.labels

    @property
    def answers(self) -> np.ndarray:
        """(N,), the class with the highest probability."""
        return self.probabilities.argmax(axis=1)


class Results(NamedTuple):
    """What lies in the folder of a run."""

    out: Path
    found: Dict[str, Any]
    """``data/found.json``."""
    command: Dict[str, Any]
    """``command.json``."""
    metrics: Dict[str, Dict[str, Any]]
    """``metrics.json`` of each model that the run has, in the order of :data:`MODELS`."""
    predictions: Dict[str, Dict[str, Predictions]]
    """Of each split, of each model."""
    curves: Dict[str, Dict[str, Curve]]
    """Of each model that was trained."""
    export: Dict[str, Any]
    """``export.json``, or empty."""
    deployment: Dict[str, Any]
    """``deployment.json``, or empty."""

    @property
    def split(self) -> str:
        """The split that the report is about: ``'test'`` if there is one, else ``'val'``."""
        return 'test' if 'test' in self.predictions else 'val'

    @property
    def classes(self) -> List[str]:
        """Names of the classes."""
        return self.found['classes']


def read_results(out: Path) -> Results:
    """Read the folder of a run.

    Args:
        out (Path): OUT of ``mmcskd distill``.

    Returns:
        Results: A baseline, a test split, an export and measures of deployment may be missing.

    Raises:
        ValueError: If the run has not got as far as the student's predictions, or its models were
            evaluated on different pictures.
    """
    metrics = {
        name: _json(out / name / 'metrics.json')
        for name in MODELS
        if (out / name / 'metrics.json').is_file()
    }
    for needed in ('data/found.json', 'student/metrics.json', 'student/predictions.npz'):
        if not (out / needed).is_file():
            raise ValueError(
                f'RUN "{out}" holds no {needed}: give the OUT of a finished `mmcskd distill`; an '
                'interrupted one goes on by the same command.'
            )
    predictions = _predictions(out, list(metrics))
    curves = {name: read_curves(str(out / name)) for name in metrics if _has_log(out / name)}
    return Results(
        out,
        _json(out / 'data' / 'found.json'),
        _json(out / 'command.json'),
        metrics,
        predictions,
        curves,
        _json(out / 'export.json'),
        _json(out / 'deployment.json'),
    )


def _predictions(out: Path, models: List[str]) -> Dict[str, Dict[str, Predictions]]:
    found: Dict[str, Dict[str, Predictions]] = {}
    for name in models:
        with np.load(out / name / 'predictions.npz') as stored:
            for split in ('val', 'test'):
                if f'labels_{split}' in stored:
                    found.setdefault(split, {})[name] = Predictions(
                        stored[f'files_{split}'].tolist(),
                        stored[f'labels_{split}'],
                        stored[f'probs_{split}'],
                    )
    for split, of_models in found.items():
        files = of_models['student'].files
        for name, each in of_models.items():
            if each.files != files:
                raise ValueError(
                    f'RUN "{out}": {name} and student were evaluated on different pictures of '
                    f'{split}: run the same `mmcskd distill` again.'
                )
    return found


def _has_log(folder: Path) -> bool:
    return any(folder.glob('*/vis_data/scalars.json'))


def _json(path: Path) -> Dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
