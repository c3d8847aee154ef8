"""What is compared, at a glance."""

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from arms import ANSWER, ARMS

IMAGES = dict(fashion='photographs (fashion)', long='cluttered digits (long)')
OURS, OTHERS = 'C0', '0.45'
COLORS = ('0.45', 'C1', 'C0', 'C4', 'C2')


def draw_lead(found, path):
    """A panel for each setting: the answer's lead over each arm with its 95 % interval, in order.

    No distillation is left out: it is so far below that the others would lie on top of each other.

    Args:
        found (dict[str, dict[str, Difference]]): By setting and arm, what is above it by how much.
        path (Path): Of the picture.
    """
    panels = {
        setting: sorted(((one, arm) for arm, one in lead.items() if arm != 'none'), reverse=True)
        for setting, lead in found.items()
    }
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(6.4 * len(panels), 0.9 + 0.32 * max(map(len, panels.values()))),
        layout='constrained',
        squeeze=False,
    )
    for axis, (setting, rows) in zip(axes.flat, panels.items()):
        for height, (lead, arm) in enumerate(rows):
            color = OURS if arm.startswith('cskd') else OTHERS
            axis.errorbar(
                lead.mean, height, xerr=lead.half, fmt='o', color=color, capsize=3, markersize=5
            )
            axis.annotate(
                str(lead), (lead.mean, height), (0, 5), textcoords='offset points',
                ha='center', fontsize=8, color=color,
            )  # fmt: skip
        axis.axvline(0, color='0.7', linewidth=0.8, zorder=0)
        axis.set_yticks(range(len(rows)), [ARMS[arm].label for _, arm in rows])
        axis.set_ylim(-0.6, len(rows) - 0.2)
        axis.set(
            title=IMAGES[setting],
            xlabel=f'points that {ARMS[ANSWER].label} is above it, test split',
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
    for color, layers in zip(COLORS, found.values()):
        numbers = range(1, len(layers) + 1)
        axis.plot(numbers, layers, 'o-', color=color)
    axis.set_xticks(numbers)
    axis.set(xlabel='layer', ylabel='mean attention distance, patches')
    axis.margins(x=0.25)
    axis.set_ylim(0, 1.2 * max(map(max, found.values())))
    _name_ends(axis, len(layers), {arm: layers[-1] for arm, layers in found.items()})
    _finish(figure, [axis], path)


def draw_sizes(found, path):
    """A line for each arm over the images of a class, with 95 % intervals, named at its end.

    Args:
        found (dict[str, dict[int, tuple]]): By arm and number of images, mean and half an interval
            of the accuracy.
        path (Path): Of the picture.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4), layout='constrained')
    for color, sizes in zip(COLORS, found.values()):
        means, halves = zip(*sizes.values())
        axis.errorbar(list(sizes), means, yerr=halves, fmt='o-', color=color, capsize=3)
    axis.set_xscale('log')
    axis.set_xticks(list(sizes), list(sizes))
    axis.minorticks_off()
    axis.set_xlim(right=2 * max(sizes))
    axis.set(xlabel='images of a class to learn from', ylabel='accuracy, %')
    _name_ends(axis, max(sizes), {arm: sizes[max(sizes)][0] for arm, sizes in found.items()})
    _finish(figure, [axis], path)


def _name_ends(axis, right, ends):
    """Write the arms' names beside the right ends of their lines, none on top of another."""
    low, high = axis.get_ylim()
    height = low
    colors = dict(zip(ends, COLORS))
    for arm, end in sorted(ends.items(), key=lambda one: one[1]):
        height = max(end, height + (high - low) / 20)
        axis.annotate(
            ARMS[arm].label, (right, height), (8, 0), textcoords='offset points',
            va='center', fontsize=8, color=colors[arm],
        )  # fmt: skip


def _finish(figure, axes, path):
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
