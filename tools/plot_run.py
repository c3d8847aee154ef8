"""Draw losses, fusion weight, agreement, learning rate and accuracy of runs, side by side."""

import argparse
from pathlib import Path

from mmcskd.visualization.curve_figures import figure_of, panels_of
from mmcskd.visualization.run_curves import read_curves


def draw(runs, path):
    """Write the picture.

    Args:
        runs (dict[str, dict[str, Curve]]): Curves of each run by its name.
        path (Path): PNG, SVG or another format of matplotlib.

    Raises:
        ValueError: If there is nothing to draw.
    """
    panels = panels_of(runs)
    if not panels:
        raise ValueError(f'{", ".join(runs)}: no losses and no accuracies are logged yet.')
    figure_of(panels).savefig(path, dpi=120)


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
