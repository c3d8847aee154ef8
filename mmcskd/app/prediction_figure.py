"""Pictures beside their most probable classes."""

from typing import List

import cv2
import mmcv


def draw(predictions: List[dict], file: str) -> None:
    """Draw a row for each picture: the picture, and a bar for each class.

    Args:
        predictions (list[dict]): From :meth:`mmcskd.Run.predict`.
        file (str): Of any format that matplotlib writes.

    Raises:
        ValueError: If matplotlib does not write such a file.
    """
    from matplotlib.figure import Figure

    count = len(predictions)
    figure = Figure(figsize=(7, 1.9 * count), layout='constrained')
    axes = figure.subplots(count, 2, squeeze=False, gridspec_kw=dict(width_ratios=[1, 2.4]))
    for (left, right), each in zip(axes, predictions):
        left.imshow(cv2.cvtColor(mmcv.imread(each['file']), cv2.COLOR_BGR2RGB))
        left.set_axis_off()
        places = range(len(each['classes']))
        bars = right.barh(places, each['probabilities'], color='#4c78a8')
        right.bar_label(bars, fmt='%.2f', padding=3)
        right.set(yticks=places, yticklabels=each['classes'], xlim=(0, 1.15))
        right.invert_yaxis()
        right.set_xticks([])
        right.spines[['top', 'right', 'bottom']].set_visible(False)
    try:
        figure.savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        raise ValueError(f'--picture "{file}" cannot be written: {error}') from error
