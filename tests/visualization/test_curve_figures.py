import io

import pytest

from mmcskd.visualization.curve_figures import Theme, figure_of, panels_of, spread
from mmcskd.visualization.run_curves import Curve

CURVES = {
    'loss': Curve([2, 4], [4.0, 3.0]),
    'loss_cskd': Curve([2, 4], [2.0, 1.0]),
    'fusion_weight': Curve([2, 4], [0.8, 0.6]),
    'accuracy/top1': Curve([1], [50.0]),
    'lr': Curve([2, 4], [0.1, 0.1]),
    'memory': Curve([2, 4], [7.0, 7.0]),
}


def test_one_run_has_its_values_side_by_side():
    panels = panels_of(dict(a=CURVES))
    assert [(panel.title, [line.label for line in panel.lines]) for panel in panels] == [
        ('accuracy, %', ['top1']),
        ('loss', ['total', 'cskd']),
        ('fusion weight λ', ['']),
        ('learning rate', ['']),
    ]
    assert panels[1].lines[1].curve == CURVES['loss_cskd']
    assert len({line.color for line in panels[1].lines}) == 2


def test_several_runs_have_a_panel_for_each_value():
    panels = panels_of(dict(a=CURVES, b={'loss': Curve([2], [1.0]), 'lr': Curve([2], [0.2])}))
    assert [(panel.title, [line.label for line in panel.lines]) for panel in panels] == [
        ('accuracy, %', ['a']),
        ('loss · total', ['a', 'b']),
        ('loss · cskd', ['a']),
        ('fusion weight λ', ['a']),
        ('learning rate', ['a', 'b']),
    ]
    colors = {line.label: line.color for panel in panels for line in panel.lines}
    assert colors == dict(a=Theme().lines[0], b=Theme().lines[1])


def test_what_is_drawn():
    """Each line has its name and last value behind its end; a name is no formula."""
    panels = panels_of({'$a_b$': CURVES, 'b': {'loss': Curve([2], [1.5])}})
    figure = figure_of(panels)
    assert len(figure.axes) == len(panels) == 5
    loss = figure.axes[1]
    assert [text.get_text() for text in loss.texts] == ['$a_b$ 3', 'b 1.5']
    assert [line.get_ydata().tolist() for line in loss.lines] == [[4.0, 3.0], [1.5]]
    assert not loss.texts[0].get_parse_math() and loss.get_legend() is None
    for form, magic in dict(png=b'\x89PNG', svg=b'<?xml').items():
        file = io.BytesIO()
        figure.savefig(file, format=form)
        assert file.getvalue().startswith(magic)


@pytest.mark.parametrize(
    'places, expected',
    [
        ([0.9, 0.1], [0.9, 0.1]),
        ([0.5, 0.5, 0.5], [0.4, 0.5, 0.6]),
        ([0.52, 0.5], [0.56, 0.46]),
        ([0.0, 0.02], [0.0, 0.1]),
        ([1.0, 1.0], [0.9, 1.0]),
        ([0.0, 0.0, 0.15], [0.0, 0.1, 0.2]),
    ],
)
def test_labels_keep_their_distance(places, expected):
    assert spread(places, 0.1) == pytest.approx(expected)
