"""Accuracy over the epochs, of all arms."""

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from arms import ARMS

# CSKD with its schedules in one hue, what lacks a part of it in another, what goes beyond it in a
# third, the rest in greys.
STYLES = {
    **dict(none=('0.6', '-'), fitnet=('0.6', '--')),
    **dict(deit_hard=('0.0', '-'), deit_soft=('0.0', '--')),
    **dict(cskd_local=('C1', '-'), cskd_global=('C1', '--'), cskd_heavy=('C4', '-')),
    **dict(cskd_linear=('C0', '-'), cskd_x2=('C0', '--'), cskd_cos=('C0', ':')),
    **dict(cskd_soft=('C2', '-'), cskd_local_soft=('C2', '--')),
    **dict(cskd_agreement=('C3', '-'), cskd_confidence=('C3', '--')),
    **dict(cskd_mixture=('C3', ':'), cskd_teachers=('C3', '-.')),
}


def draw_curves(results, settings, path):
    """One panel for each setting: means over seeds, with bands of a standard deviation."""
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    spare = rows * columns - len(settings)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(5.6 * columns + (0 if spare else 2), 4.2 * rows),
        layout='constrained',
        squeeze=False,
    )
    for axis, setting in zip(axes.flat, settings):
        for name, arm in ARMS.items():
            curve = results.curve(setting, name).astype(float)
            if curve.empty:
                continue
            color, style = STYLES[name]
            mean, spread = curve.mean(axis=1), curve.std(axis=1).fillna(0.0)
            axis.plot(mean.index, mean, style, color=color, label=arm.label, linewidth=1.4)
            axis.fill_between(
                mean.index, mean - spread, mean + spread, color=color, alpha=0.07, linewidth=0
            )
        axis.set(title=setting, xlabel='epoch', ylabel='accuracy on the validation split, %')
    # Arms of any panel, once: where a panel is to spare, else beside them all.
    entries = {}
    for axis in axes.flat:
        entries |= {label: line for line, label in zip(*axis.get_legend_handles_labels())}
    labels = [arm.label for arm in ARMS.values() if arm.label in entries]
    lines = [entries[label] for label in labels]
    if spare:
        axes.flat[-1].axis('off')
        axes.flat[-1].legend(lines, labels, loc='center', ncols=2)
    else:
        figure.legend(lines, labels, loc='outside right', fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
