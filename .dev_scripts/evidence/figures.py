"""What is compared, at a glance."""

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from arms import ARMS, REFERENCE

IMAGES = dict(fashion='photographs (fashion)', long='cluttered digits (long)')
OURS, OTHERS = 'C0', '0.45'
COLORS = ('0.45', 'C1', 'C0', 'C2')


def draw_differences(results, settings, path):
    """A panel for each setting: differences to the reference with their 95 % intervals, in order.

    No distillation is left out: it is so far below that the others would lie on top of each other.

    Args:
        results (Results): What is written down.
        settings (Sequence[str]): One or more of them.
        path (Path): Of the picture.
    """
    found = [
        sorted(
            (difference.mean, difference.half or 0.0, ARMS[arm].label, arm)
            for arm, difference in results.shown(setting).items()
            if arm != 'none'
        )
        for setting in settings
    ]
    figure, axes = plt.subplots(
        1,
        len(settings),
        figsize=(6.4 * len(settings), 0.9 + 0.32 * max(map(len, found))),
        layout='constrained',
        squeeze=False,
    )
    for axis, setting, rows in zip(axes.flat, settings, found):
        for height, (mean, half, _, arm) in enumerate(rows):
            color = OURS if arm.startswith('cskd') else OTHERS
            axis.errorbar(mean, height, xerr=half, fmt='o', color=color, capsize=3, markersize=5)
            axis.annotate(
                f'{mean:+.1f}', (mean, height), (0, 5), textcoords='offset points',
                ha='center', fontsize=8, color=color,
            )  # fmt: skip
        axis.axvline(0, color='0.7', linewidth=0.8, zorder=0)
        axis.set_yticks(range(len(rows)), [label for _, _, label, _ in rows])
        axis.set_ylim(-0.6, len(rows) - 0.2)
        axis.set(
            title=IMAGES.get(setting, setting),
            xlabel=f'points above {ARMS[REFERENCE].label}, test split',
        )
    _finish(figure, axes.flat, path)


def draw_robustness(found, path):
    """A row for each corruption, a dot with its 95 % interval for each arm.

    Args:
        found (dict[str, dict[str, tuple]]): By corruption and arm, mean and half an interval of the
            accuracy over all severities.
        path (Path): Of the picture.
    """
    figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.62 * len(found)), layout='constrained')
    for height, arms in enumerate(reversed(found.values())):
        for index, (arm, (mean, half)) in enumerate(arms.items()):
            color, place = COLORS[index], height + 0.16 * (index - (len(arms) - 1) / 2)
            axis.errorbar(mean, place, xerr=half, fmt='o', color=color, capsize=2, markersize=5)
            if height == len(found) - 1:
                axis.annotate(
                    ARMS[arm].label, (mean + half, place), (6, 0), textcoords='offset points',
                    va='center', fontsize=8, color=color,
                )  # fmt: skip
    axis.set_yticks(range(len(found)), list(reversed(found)))
    axis.set(xlabel='accuracy on corrupted images, %, mean over severities 1 to 5')
    _finish(figure, [axis], path)


def draw_distances(found, path):
    """A line for each arm over the layers, named at its end.

    Args:
        found (dict[str, list[float]]): By arm, the mean attention distance of each layer.
        path (Path): Of the picture.
    """
    figure, axis = plt.subplots(figsize=(5.4, 3.2), layout='constrained')
    for color, (arm, layers) in zip(COLORS, found.items()):
        numbers = range(1, len(layers) + 1)
        axis.plot(numbers, layers, 'o-', color=color)
        axis.annotate(
            ARMS[arm].label, (numbers[-1], layers[-1]), (8, 0), textcoords='offset points',
            va='center', fontsize=8, color=color,
        )  # fmt: skip
    axis.set_xticks(numbers)
    axis.set(xlabel='layer', ylabel='mean attention distance, patches')
    axis.margins(x=0.25)
    axis.set_ylim(bottom=0)
    _finish(figure, [axis], path)


def draw_sizes(found, path):
    """A line for each arm over the images of a class, with 95 % intervals, named at its end.

    Args:
        found (dict[str, dict[int, tuple]]): By arm and number of images, mean and half an interval
            of the accuracy.
        path (Path): Of the picture.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4), layout='constrained')
    height = -float('inf')
    ordered = sorted(zip(COLORS, found.items()), key=lambda one: list(one[1][1].values())[-1])
    for color, (arm, sizes) in ordered:
        means, halves = zip(*sizes.values())
        axis.errorbar(list(sizes), means, yerr=halves, fmt='o-', color=color, capsize=3)
        height = max(means[-1], height + 0.8)  # names that would lie on top of each other
        axis.annotate(
            ARMS[arm].label, (max(sizes), height), (8, 0), textcoords='offset points',
            va='center', fontsize=8, color=color,
        )  # fmt: skip
    axis.set_xscale('log')
    axis.set_xticks(list(sizes), list(sizes))
    axis.minorticks_off()
    axis.set_xlim(right=2 * max(sizes))
    axis.set(xlabel='images of a class to learn from', ylabel='accuracy, %')
    _finish(figure, [axis], path)


def _finish(figure, axes, path):
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
