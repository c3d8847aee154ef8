"""Draw losses, fusion weight, agreement, learning rate and accuracy of runs, side by side."""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from mmcskd.visualization.run_curves import read_curves

# Panels: title, x axis, and its curves by the start of their names.
PANELS = (
    ('losses', 'iteration', ('loss',)),
    ('fusion weight λ', 'iteration', ('fusion_weight',)),
    ('agreement with the target', 'iteration', ('agreement',)),
    ('learning rate', 'iteration', ('lr',)),
    ('accuracy, %', 'validation', ('accuracy/',)),
)


def draw(runs, path):
    """Write the picture.

    Args:
        runs (dict[str, dict[str, Curve]]): Curves of each run by its name.
        path (Path): PNG, SVG or another format of matplotlib.

    Returns:
        dict[str, list[str]]: Labels of the lines in each panel.

    Raises:
        ValueError: If there is nothing to draw.
    """
    panels = [
        (title, x, names) for title, x, prefixes in PANELS if (names := _names(runs, prefixes))
    ]
    if not panels:
        raise ValueError(f'{", ".join(runs)}: no losses and no accuracies are logged yet.')
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels), 3.6), layout='constrained', squeeze=False
    )
    drawn = {}
    for axis, (title, x, names) in zip(axes[0], panels):
        styles = dict(zip(names, ('-', '--', ':', '-.') * len(names)))
        for color, (run, curves) in enumerate(runs.items()):
            for name in names:
                if name in curves:
                    label = run if len(names) == 1 else f'{run}: {name}'
                    marker = '.' if len(curves[name].steps) == 1 else None
                    axis.plot(
                        *curves[name], styles[name], color=f'C{color}', label=label, marker=marker
                    )
        axis.set(title=title, xlabel=x)
        axis.legend(fontsize=7)
        drawn[title] = axis.get_legend_handles_labels()[1]
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return drawn


def _names(runs, prefixes):
    found = {name for curves in runs.values() for name in curves}
    return sorted(name for name in found if name.startswith(prefixes))


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='--work-dir of each run')
    parser.add_argument('--out', default='curves.png', help='picture; its suffix is its format')
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse_args(arguments)
    runs = {}
    for work_dir in args.work_dirs:
        name = Path(work_dir).resolve().name
        runs[work_dir if name in runs else name] = read_curves(work_dir)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    draw(runs, args.out)
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
