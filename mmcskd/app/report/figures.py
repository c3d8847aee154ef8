"""Figures of the report: SVG with the colours of the page, for light and dark.

Each is drawn as wide as a telephone; the page puts several beside each other on a wide screen.
"""

import io
import re
from typing import Any, Dict, Sequence, Tuple

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...visualization.curve_figures import Panel, Theme, draw_panel, plain
from .statistics import Calibration, Interval

# What stands for a colour of the page while matplotlib draws.
COLORS = {
    '#010101': '--ink',
    '#020202': '--muted',
    '#030303': '--grid',
    '#040404': '--teacher',
    '#050505': '--baseline',
    '#060606': '--student',
    '#070707': '--line1',
    '#080808': '--line2',
    '#090909': '--line3',
    '#0a0a0a': '--line4',
    '#0b0b0b': '--page',
}
_NAMES = {variable: color for color, variable in COLORS.items()}
INK, MUTED, GRID, PAGE = (_NAMES[f'--{name}'] for name in ('ink', 'muted', 'grid', 'page'))
OF_MODEL = {name: _NAMES[f'--{name}'] for name in ('teacher', 'baseline', 'student')}
PAGE_THEME = Theme(INK, MUTED, GRID, tuple(_NAMES[f'--line{n}'] for n in range(1, 5)))
STYLE: Dict[Any, Any] = {
    'svg.fonttype': 'none',
    'font.size': 9,
    'text.parse_math': False,
    'font.family': 'DejaVu Sans',
}
WIDTH = 4.0  # inches
LONGEST = 18  # characters of a name
UNIQUE = re.compile(r'<g id="[^"]*"')


def curve_figure(panel: Panel) -> Markup:
    """One panel of the curves."""
    with matplotlib.rc_context(STYLE):
        figure, axis = _figure(2.4)
        draw_panel(axis, panel, PAGE_THEME)
        last = ', '.join(f'{line.label} {line.curve.values[-1]:.3g}' for line in panel.lines)
        return _svg(figure, f'{panel.title} over {panel.x}s; at the end {last}')


def accuracy_figure(rows: Sequence[Tuple[str, str, Interval]]) -> Markup:
    """Accuracies with their intervals.

    Args:
        rows (Sequence[tuple]): Model, its title, accuracy.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = _figure(0.52 * len(rows) + 0.45)
        plain(axis, PAGE_THEME)
        axis.grid(False)
        axis.grid(axis='x', color=GRID, linewidth=0.8)
        for place, (model, title, share) in enumerate(rows):
            color = OF_MODEL[model]
            axis.plot([share.low, share.high], [place, place], color=color, linewidth=3)
            axis.plot(share.value, place, 'o', color=color, markersize=8)
            axis.text(
                share.value, place - 0.22, f'{title} {share.value:.1f} %', color=color, ha='center',
                va='bottom', fontweight='bold', fontsize=10,
            )  # fmt: skip
        low = min(share.low for _, _, share in rows)
        high = max(share.high for _, _, share in rows)
        # Room for the words above an end.
        margin = max(0.25 * (high - low), 1)
        axis.set(xlim=(low - margin, high + margin), ylim=(len(rows) - 0.7, -0.75), yticks=[])
        axis.set_xlabel('accuracy, %, with its 95 % interval', fontsize=8.5, color=MUTED)
        said = '; '.join(
            f'{title} {share.value:.1f} % ({share.low:.1f} to {share.high:.1f})'
            for _, title, share in rows
        )
        return _svg(figure, f'Accuracy: {said}')


def class_figure(
    names: Sequence[str], shares: Dict[str, np.ndarray], against: str, label: str
) -> Markup:
    """Accuracy of each class before and after: from another model's to the student's.

    Args:
        names (Sequence[str]): Of the classes, from top to bottom.
        shares (dict[str, np.ndarray]): Of each model, (C,) in percent.
        against (str): The other model.
        label (str): Its title.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = _figure(0.24 * len(names) + 0.55)
        plain(axis, PAGE_THEME)
        axis.grid(False)
        axis.grid(axis='x', color=GRID, linewidth=0.8)
        for place in range(len(names)):
            before, after = shares[against][place], shares['student'][place]
            gains = after >= before
            color = OF_MODEL['student'] if gains else OF_MODEL[against]
            axis.plot([before, after], [place, place], color=color, linewidth=2.5, alpha=0.5)
            axis.plot(before, place, 'o', color=OF_MODEL[against], markersize=5, mfc=PAGE)
            axis.plot(after, place, 'o', color=OF_MODEL['student'], markersize=5.5)
            axis.text(
                1.02, place, signed(after - before, 0), transform=axis.get_yaxis_transform(),
                color=INK if after != before else MUTED, va='center',
            )  # fmt: skip
        axis.set(ylim=(len(names) - 0.4, -0.6), yticks=range(len(names)))
        axis.set_yticklabels([shortened(name) for name in names], color=INK)
        axis.set_xlabel('accuracy of the class, %', fontsize=8.5, color=MUTED)
        return _svg(figure, f'Accuracy of each class, {label} and student')


def calibration_figure(model: str, title: str, found: Calibration) -> Markup:
    """How often a model is right, by how sure it is.

    Args:
        model (str): Which one.
        title (str): Its title.
        found (Calibration): Its calibration.
    """
    with matplotlib.rc_context(STYLE):
        figure, axis = _figure(3.1)
        plain(axis, PAGE_THEME)
        axis.grid(color=GRID, linewidth=0.8)
        axis.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axis.text(3, 97, 'not sure enough', color=MUTED, va='top')
        axis.text(97, 3, 'too sure', color=MUTED, ha='right')
        confidence, share = 100 * found.confidence, 100 * found.accuracy
        axis.vlines(confidence, confidence, share, color=OF_MODEL[model], linewidth=2.5, alpha=0.5)
        sizes = 12 + 150 * found.pictures / found.pictures.sum()
        axis.scatter(confidence, share, s=sizes, color=OF_MODEL[model], zorder=3)
        axis.set(xlim=(-3, 103), ylim=(-3, 103), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
        axis.set_xlabel('how sure, %', fontsize=8.5, color=MUTED)
        axis.set_ylabel('how often right, %', fontsize=8.5, color=MUTED)
        return _svg(figure, f'Reliability of {title}: calibration error {found.error:.1f} %')


def signed(value: float, digits: int = 1) -> str:
    """A difference, with its sign: ``+2.5``, ``−2.5``, ``±0.0``."""
    text = f'{value:+.{digits}f}'
    return f'±{text[1:]}' if float(text) == 0 else text.replace('-', '−')


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name that fits beside a figure."""
    name = ' '.join(name.split()) or '(no name)'
    return name if len(name) <= longest else f'{name[: longest - 1]}…'


def _figure(height: float) -> Tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    return figure, figure.subplots()


def _svg(figure: Figure, label: str) -> Markup:
    """The figure for a page, with its colours as variables of the page."""
    file = io.StringIO()
    # Names of clip paths and markers are unique in the page.
    with matplotlib.rc_context({'svg.hashsalt': label}):
        figure.savefig(file, format='svg', transparent=True, metadata={'Date': None})
    text = file.getvalue()
    text = text[text.index('<svg') :]
    body = text[text.index('>') + 1 :]
    body = re.sub(r'<metadata>.*?</metadata>', '', body, flags=re.S)
    body = UNIQUE.sub('<g', body)
    body = re.sub('|'.join(COLORS), lambda found: f'var({COLORS[found[0]]})', body)
    width, height = 72 * figure.get_size_inches()
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )
