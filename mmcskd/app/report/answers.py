"""What teacher and student answer at each place of the pictures on which they differ most."""

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any, List, NamedTuple, Optional

import numpy as np
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from ...visualization.responses import ResponseReader
from ..launch import build_student, build_teacher
from .results import Results
from .statistics import disagreement

SHOWN = 8
OTHERS = 2  # classes beside the true one that have a colour
SIDE = 320  # pixels of a picture in the page


class Cell(NamedTuple):
    """One place of a map."""

    row: int
    column: int
    color: int
    """0: the true class, 1 and 2: the most frequent others, 3: any other."""


class AnswerMap(NamedTuple):
    """The answers of one model to one picture."""

    model: str
    rows: int
    columns: int
    cells: List[Cell]
    answer: str
    """Class of the whole picture."""
    sure: float
    """Its probability, in percent."""
    right: bool


class Answers(NamedTuple):
    """One picture."""

    file: str
    picture: str
    """A data URI."""
    true: str
    key: List[str]
    """Names of the classes of the colours 0, 1, 2."""
    maps: List[AnswerMap]


def answers_at_each_place(results: Results) -> List[Answers]:
    """The pictures on which teacher and student differ most.

    Args:
        results (Results): With a teacher. Pictures that are no files are left out.

    Returns:
        list[Answers]: At most eight, those that differ most first; empty without a teacher or if
        the data set holds no files.
    """
    predictions = results.predictions[results.split]
    if 'teacher' not in predictions:
        return []
    teacher, student = predictions['teacher'], predictions['student']
    apart = disagreement(teacher.probabilities, student.probabilities)
    order = [int(index) for index in np.argsort(-apart, kind='stable')]
    paths = {index: path for index in order if (path := _path(results, student.files[index]))}
    if not paths:
        return []
    reader = _reader(results)
    return [_answers(results, reader, index, paths[index]) for index in list(paths)[:SHOWN]]


def _reader(results: Results) -> ResponseReader:
    of_student = results.metrics['student']
    cfg = Config.fromfile(str(located(results.out / 'student', of_student['config'])))
    checkpoint = located(results.out / 'student', of_student['checkpoint'])
    # The folder may have been moved since.
    teacher = located(results.out / 'teacher', results.metrics['teacher']['checkpoint'])
    cfg.model.teacher_ckpt = str(teacher)
    return ResponseReader(cfg, build_teacher(cfg), build_student(cfg, str(checkpoint)))


def located(folder: Path, name: str) -> Path:
    """A file that a step's metrics name: absolute, or relative to the step's folder."""
    return folder / name if (folder / name).exists() else Path(name)


def _path(results: Results, file: str) -> Optional[Path]:
    path = Path(results.found.get('root') or '', file)
    return path if path.is_file() else None


def _shown(results: Results, path: Path) -> str:
    root = Path(results.found.get('root') or '/')
    return str(path.relative_to(root) if root in path.parents else path)


def _answers(results: Results, reader: ResponseReader, index: int, path: Path) -> Answers:
    predictions = results.predictions[results.split]
    names, true = results.classes, int(predictions['student'].labels[index])
    responses = reader(str(path))
    found = dict(teacher=responses.spatial_response, student=responses.student_response)
    maps = {model: _classes(part) for model, part in found.items() if part is not None}
    counts = Counter(int(c) for each in maps.values() for c in each.flat if c != true)
    key = [true, *(c for c, _ in counts.most_common(OTHERS))]
    colors = {c: color for color, c in enumerate(key)}
    return Answers(
        _shown(results, path),
        _data_uri(responses.image),
        names[true],
        [names[c] for c in key],
        [
            AnswerMap(
                model,
                classes.shape[0],
                classes.shape[1],
                [
                    Cell(row, column, colors.get(int(c), OTHERS + 1))
                    for (row, column), c in np.ndenumerate(classes)
                ],
                names[int(predictions[model].answers[index])],
                100 * float(predictions[model].probabilities[index].max()),
                bool(predictions[model].right[index]),
            )
            for model, classes in maps.items()
        ],
    )


def _classes(response: Tensor) -> np.ndarray:
    return response.argmax(dim=0).cpu().numpy()


def _data_uri(pixels: np.ndarray) -> str:
    image: Any = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    small = max(image.size) <= 64  # of few pixels: without a loss, and enlarged as it is
    file = io.BytesIO()
    image.save(file, **(dict(format='PNG') if small else dict(format='JPEG', quality=85)))
    kind = 'png' if small else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}'
