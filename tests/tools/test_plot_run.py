import json

import pytest
from tool_runs import load_tool

from mmcskd.visualization.run_curves import read_curves


@pytest.fixture(scope='module')
def plot_run():
    return load_tool('plot_run')


def write(work_dir, start, lines, resumed=None):
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    if resumed is not None:
        (work_dir / start / 'resumed.json').write_text(json.dumps(dict(start=resumed)))
    (folder / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))


def train(step, loss, **more):
    return dict(
        lr=0.1, loss=loss, loss_cskd=loss / 2, fusion_weight=1 - step / 10, step=step, **more
    )


def test_starts_are_joined_and_the_later_counts(tmp_path):
    write(
        tmp_path,
        '20260101_000000',
        [train(2, 4.0), train(4, 3.0), {'accuracy/top1': 50, 'step': 1}],
    )
    write(
        tmp_path,
        '20260102_000000',
        [train(4, 2.5), train(6, 2.0), {'accuracy/top1': 60, 'step': 2}],
        resumed='20260101_000000',
    )
    curves = read_curves(tmp_path)
    assert curves['loss'] == ([2, 4, 6], [4.0, 2.5, 2.0])
    assert curves['fusion_weight'].values == [0.8, 0.6, 0.4]
    assert curves['accuracy/top1'] == ([1, 2], [50, 60])


A, B, C, D = (f'2026010{day}_000000' for day in range(1, 5))


@pytest.mark.parametrize(
    'resumed, joined',
    [
        ([None, None], [1]),
        ([None, A], [0, 1]),
        ([None, A, B], [0, 1, 2]),
        ([None, None, B], [1, 2]),
        ([None, None, A], [0, 2]),  # B ended before its first checkpoint
        ([None, A, None, C], [2, 3]),
        ([None, A, A, B], [0, 1, 3]),
        ([None, 'of another directory'], [1]),
        ([None, B], [1]),  # says of itself
        ([None, '../1'], [1]),
    ],
)
def test_a_restart_is_no_resume(tmp_path, resumed, joined):
    """The newest start, behind those that it resumed."""
    for index, (start, of) in enumerate(zip((A, B, C, D), resumed)):
        write(tmp_path, start, [train(index + 1, 4.0), {'accuracy/top1': 1, 'step': index + 1}], of)
    curves = read_curves(tmp_path)
    assert curves['loss'].steps == curves['accuracy/top1'].steps == [at + 1 for at in joined]


@pytest.mark.parametrize('text', ['', '[]', '{"start": ', '{"start": []}', '{}'])
def test_a_damaged_note_joins_nothing(tmp_path, text):
    write(tmp_path, A, [train(1, 4.0)])
    write(tmp_path, B, [train(2, 4.0)], A)
    (tmp_path / B / 'resumed.json').write_text(text)
    assert read_curves(tmp_path)['loss'].steps == [2]


def test_a_test_is_no_run(tmp_path):
    write(tmp_path, A, [train(1, 4.0)])
    write(tmp_path, B, [{'accuracy/top1': 50, 'step': 0}])
    curves = read_curves(tmp_path)
    assert curves['loss'].steps == [1] and 'accuracy/top1' not in curves


def test_a_torn_line_is_left_out(tmp_path):
    write(tmp_path, '20260101_000000', [train(2, 4.0)])
    log = next(tmp_path.glob('*/vis_data/scalars.json'))
    log.write_text(log.read_text() + '{"loss": 3.')
    assert read_curves(tmp_path)['loss'] == ([2], [4.0])


def test_no_log(tmp_path):
    with pytest.raises(
        ValueError, match=r'WORK_DIR ".*" holds no .*scalars\.json.*LocalVisBackend'
    ):
        read_curves(tmp_path)


@pytest.mark.parametrize('suffix, magic', [('png', b'\x89PNG'), ('svg', b'<?xml')])
def test_runs_side_by_side(plot_run, tmp_path, suffix, magic):
    write(tmp_path / 'a', '20260101_000000', [train(2, 4.0, agreement=0.5), train(4, 3.0)])
    write(tmp_path / 'b', '20260101_000000', [dict(loss=3.0, lr=0.2, step=2)])
    out = tmp_path / 'new' / f'curves.{suffix}'
    plot_run.main([str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(out)])
    assert out.read_bytes().startswith(magic)


def test_nothing_logged_yet(plot_run, tmp_path):
    write(tmp_path / 'a', '20260101_000000', [dict(memory=3, step=1)])
    with pytest.raises(ValueError, match='no losses and no accuracies'):
        plot_run.draw(dict(a=read_curves(tmp_path / 'a')), tmp_path / 'x.png')
