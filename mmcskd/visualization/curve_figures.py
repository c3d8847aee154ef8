"""Figures of the curves of runs: one panel for each value, each line labelled at its end."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .run_curves import Curve

# Panels: title, x axis, and its curves by the start of their names.
PANELS = (
    ('accuracy, %', 'epoch', 'accuracy/'),
    ('loss', 'iteration', 'loss'),
    ('fusion weight λ', 'iteration', 'fusion_weight'),
    ('agreement with the target', 'iteration', 'agreement'),
    ('learning rate', 'iteration', 'lr'),
)
SHARES = ('fusion_weight', 'agreement')
LABEL_SIZE = 8.5


class Theme(NamedTuple):
    """Colours of a figure, in any form that matplotlib takes."""

    ink: str = '#1f2328'
    muted: str = '#59636e'
    grid: str = '#d8dee4'
    lines: Sequence[str] = ('#0969a8', '#c2560a', '#127a53', '#a03d7c', '#8a6d00', '#5b5fc7')


ON_WHITE = Theme()


class Line(NamedTuple):
    """One line of a panel."""

    label: str
    curve: Curve
    color: str


class Panel(NamedTuple):
    """One value of several runs, or all values of a kind of one run."""

    title: str
    x: str
    lines: List[Line]
    limits: Optional[Tuple[float, float]] = None
    """Of the y axis."""


def panels_of(runs: Dict[str, Dict[str, Curve]], theme: Theme = ON_WHITE) -> List[Panel]:
    """Choose what to draw of some runs.

    Args:
        runs (dict[str, dict[str, Curve]]): Curves of each run by its name.
        theme (Theme): Its line colours are taken in turn.

    Returns:
        list[Panel]: Of one run, accuracies and losses share a panel each. Of several runs, each
        value has a panel, in which a line is a run, in the same colour everywhere.
    """
    panels = []
    for title, x, prefix in PANELS:
        names = sorted({n for curves in runs.values() for n in curves if n.startswith(prefix)})
        if len(runs) == 1:
            ((_, curves),) = runs.items()
            groups = [(title, [(_short(name), curves[name]) for name in names])]
        else:
            groups = [
                (
                    title if len(names) == 1 else f'{title} · {_short(name)}',
                    [(run, curves[name]) for run, curves in runs.items() if name in curves],
                )
                for name in names
            ]
        order = list(runs)
        for heading, found in groups:
            lines = []
            for index, (label, curve) in enumerate(found):
                place = index if len(runs) == 1 else order.index(label)
                lines.append(Line(label, curve, theme.lines[place % len(theme.lines)]))
            if lines:
                panels.append(Panel(heading, x, lines, (0, 1) if prefix in SHARES else None))
    return panels


def figure_of(panels: Sequence[Panel], theme: Theme = ON_WHITE) -> Figure:
    """Draw panels in two columns.

    Args:
        panels (Sequence[Panel]): From :func:`panels_of`.
        theme (Theme): Colours.
    """
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.6 * columns, 3.1 * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, panels):
        draw_panel(axis, panel, theme)
    for axis in axes[len(panels) :]:
        axis.remove()
    return figure


def draw_panel(axis: Axes, panel: Panel, theme: Theme = ON_WHITE) -> None:
    """Draw one panel, with name and last value of each line behind its end.

    Args:
        axis (Axes): Empty.
        panel (Panel): What to draw.
        theme (Theme): Colours.
    """
    plain(axis, theme)
    axis.set_title(panel.title, loc='left', fontsize=10, color=theme.ink)
    axis.set_xlabel(panel.x, fontsize=LABEL_SIZE, color=theme.muted)
    for line in panel.lines:
        marker = 'o' if len(line.curve.steps) == 1 else None
        axis.plot(*line.curve, color=line.color, linewidth=1.8, marker=marker, markersize=4)
    axis.margins(x=0.01)
    if panel.limits:
        low, high = panel.limits
        axis.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    _label_ends(axis, panel.lines)


def plain(axis: Axes, theme: Theme) -> None:
    """Take out what a reader does not need: frame, tick marks, background.

    Args:
        axis (Axes): Of any figure.
        theme (Theme): Colours of ticks and grid.
    """
    axis.patch.set_visible(False)
    for side in axis.spines.values():
        side.set_visible(False)
    axis.tick_params(length=0, labelsize=LABEL_SIZE, labelcolor=theme.muted)
    axis.grid(axis='y', color=theme.grid, linewidth=0.8)
    axis.set_axisbelow(True)


def _label_ends(axis: Axes, lines: Sequence[Line]) -> None:
    """Write the labels beside the right edge, each at its line's end, pushed apart."""
    if not lines:
        return
    low, high = axis.get_ylim()
    # The axes will be about nine tenths as high, under their title.
    gap = 1.35 * LABEL_SIZE / (72 * axis.bbox.height / axis.figure.dpi)
    ends = [(line.curve.values[-1] - low) / (high - low) for line in lines]
    for line, place in zip(lines, spread(ends, gap)):
        label = f'{line.label} {line.curve.values[-1]:.3g}'.strip()
        axis.text(
            1.02, place, label, color=line.color, fontsize=LABEL_SIZE, va='center',
            transform=axis.transAxes, parse_math=False,
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> List[float]:
    """Move labels apart as little as needed, within 0 and 1 if they have room there.

    Args:
        places (Sequence[float]): Where each would stand.
        gap (float): Smallest distance of two.

    Returns:
        list[float]: Where each stands, in the same order.
    """
    # Clusters of neighbours, each around the mean of what its members want.
    clusters: List[List[int]] = []
    for index in sorted(range(len(places)), key=lambda each: places[each]):
        clusters.append([index])
        while (
            len(clusters) > 1
            and _span(places, clusters[-2], gap)[1] + gap > (_span(places, clusters[-1], gap)[0])
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    found = [0.0] * len(places)
    for cluster in clusters:
        start = _span(places, cluster, gap)[0]
        for position, index in enumerate(cluster):
            found[index] = start + position * gap
    return found


def _span(places: Sequence[float], cluster: Sequence[int], gap: float) -> Tuple[float, float]:
    middle, width = sum(places[index] for index in cluster) / len(cluster), gap * (len(cluster) - 1)
    start = max(min(middle - width / 2, 1 - width), 0)
    return start, start + width


def _short(name: str) -> str:
    """``loss_cskd`` → ``cskd``, ``accuracy/top1`` → ``top1``."""
    for prefix in ('accuracy/', 'loss_'):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return {'loss': 'total'}.get(name, '')
