"""``report.html`` and the model card ``README.md`` of a run."""

import shlex
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from jinja2 import Environment, PackageLoader

from ...visualization.curve_figures import Line, Panel, panels_of
from . import figures
from .answers import answers_at_each_place
from .card import card_text
from .results import MODELS, Results, read_results
from .statistics import (
    accuracy,
    calibrate,
    class_accuracy,
    compare,
    confusions,
)

MOST_CLASSES = 24  # rows of a figure
MOST_PAIRS = 10


def write_report(out: Path) -> Path:
    """Write ``report.html`` and ``README.md``, drawn from what lies in a run's folder.

    Args:
        out (Path): OUT of a finished ``mmcskd distill``. A baseline, a test split, an export and
            measures of deployment may be missing.

    Returns:
        Path: ``report.html``: one file that needs no network.

    Raises:
        ValueError: If the run is not finished.
    """
    out = Path(out)
    results = read_results(out)
    page = Environment(
        loader=PackageLoader('mmcskd.app.report', ''),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(number=_number, seconds=_seconds, signed=figures.signed, shell=_shell)
    context = _context(results)
    path = out / 'report.html'
    path.write_text(page.get_template('report.html.jinja').render(context), encoding='utf-8')
    (out / 'README.md').write_text(card_text(results), encoding='utf-8')
    return path


def _context(results: Results) -> Dict[str, Any]:
    predictions = results.predictions[results.split]
    models = {name: title for name, title in MODELS.items() if name in predictions}
    shares = {name: accuracy(predictions[name].right) for name in models}
    comparisons = {
        name: compare(predictions['student'].right, predictions[name].right)
        for name in ('baseline', 'teacher')
        if name in models
    }
    calibrations = {
        name: calibrate(each.probabilities, each.labels) for name, each in predictions.items()
    }
    return dict(
        results=results,
        models=models,
        pictures=len(predictions['student'].labels),
        shares=shares,
        of_splits={
            split: {name: accuracy(each.right) for name, each in of_models.items()}
            for split, of_models in results.predictions.items()
        },
        comparisons=comparisons,
        calibrations=calibrations,
        accuracy_figure=figures.accuracy_figure(
            [(name, title, shares[name]) for name, title in models.items()]
        ),
        calibration_figures={
            name: figures.calibration_figure(name, title, calibrations[name])
            for name, title in models.items()
        },
        curve_figures=_curves(results, models),
        classes=_classes(results, models),
        pairs=_pairs(results),
        answers=answers_at_each_place(results),
        data=_data(results),
    )


def _curves(results: Results, models: Dict[str, str]) -> List[Any]:
    """Accuracy of all models in one panel, then the student's own values."""
    accuracies = [
        Line(models[name], curves['accuracy/top1'], figures.OF_MODEL[name])
        for name, curves in results.curves.items()
        if name in models and 'accuracy/top1' in curves
    ]
    own = panels_of(dict(student=results.curves.get('student', {})), figures.PAGE_THEME)
    panels = [Panel('accuracy on val, %', 'epoch', accuracies)] if accuracies else []
    panels += [
        panel._replace(title=f'student: {panel.title}')
        for panel in own
        if not panel.title.startswith('accuracy')
    ]
    return [figures.curve_figure(panel) for panel in panels]


def _classes(results: Results, models: Dict[str, str]) -> Dict[str, Any]:
    """Accuracy of each class of each model, and figures of the changes."""
    predictions = results.predictions[results.split]
    count = len(results.classes)
    labels = predictions['student'].labels
    shares = {name: class_accuracy(labels, predictions[name].right, count) for name in models}
    drawn = {}
    for against in ('baseline', 'teacher'):
        if against not in models:
            continue
        change = shares['student'] - shares[against]
        order = [int(c) for c in np.argsort(-change, kind='stable') if not np.isnan(change[c])]
        if len(order) > MOST_CLASSES:  # the ends are what changed
            order = order[: MOST_CLASSES // 2] + order[-MOST_CLASSES // 2 :]
        drawn[against] = figures.class_figure(
            [results.classes[c] for c in order],
            {name: shares[name][order] for name in ('student', against)},
            against,
            models[against],
        )
    rows = [
        dict(
            name=results.classes[c],
            pictures=int((labels == c).sum()),
            shares={name: float(shares[name][c]) for name in models},
        )
        for c in range(count)
    ]
    return dict(figures=drawn, rows=rows, cut=count > MOST_CLASSES, most=MOST_CLASSES)


def _pairs(results: Results) -> List[Dict[str, Any]]:
    """The student's most frequent confusions, with how often the others make them."""
    predictions = results.predictions[results.split]
    names, labels = results.classes, predictions['student'].labels
    found = confusions(labels, predictions['student'].answers, len(names))[:MOST_PAIRS]
    rows: List[Dict[str, Any]] = [
        dict(
            true=names[pair.true],
            answer=names[pair.answer],
            pictures=int((labels == pair.true).sum()),
            counts={
                name: int(((labels == pair.true) & (each.answers == pair.answer)).sum())
                for name, each in predictions.items()
            },
        )
        for pair in found
    ]
    largest = max((count for row in rows for count in row['counts'].values()), default=0)
    return [dict(row, largest=largest) for row in rows]


def _data(results: Results) -> Dict[str, Any]:
    """Counts of classes in each split."""
    counts = results.found['counts']
    totals = {split: sum(of.values()) for split, of in counts.items() if of}
    rows = [
        (name, {split: counts[split].get(name, 0) for split in totals}) for name in results.classes
    ]
    return dict(
        totals=totals,
        rows=rows,
        most=max((n for _, of in rows for n in of.values()), default=0),
        left_out=results.found.get('left_out', []),
        duplicates=results.found.get('duplicates', []),
        notes=results.found.get('notes', []),
        size=results.found.get('size', {}),
    )


def _number(value: float) -> str:
    """``5717416`` → ``5.7 M``."""
    for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if value >= size:
            return f'{value / size:.3g} {unit}'
    return f'{value:.3g}'


def _shell(command: str) -> str:
    """A command with a line for each option."""
    words = map(shlex.quote, shlex.split(command))
    return ''.join(
        f' \\\n  {word}' if word.startswith('--') else f' {word}' for word in words
    ).strip()


def _seconds(value: float) -> str:
    """``125`` → ``2 min 5 s``."""
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes} min'
    return f'{minutes} min {seconds} s' if minutes else f'{seconds} s'
