"""How much each arm is above or below the reference, at a glance."""

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from arms import ARMS, REFERENCE

OURS, OTHERS = 'C0', '0.45'


def draw_differences(results, settings, path):
    """A panel for each setting: differences to the reference with their 95 % intervals, in order.

    Args:
        results (Results): What is written down.
        settings (Sequence[str]): One or more of them.
        path (Path): Of the picture.
    """
    found = [
        sorted(
            (difference.mean, difference.half or 0.0, ARMS[arm].label, arm)
            for arm, difference in results.differences(setting).items()
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
        axis.set(title=setting, xlabel=f'points above {ARMS[REFERENCE].label}, test split')
        axis.spines[['top', 'right']].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
