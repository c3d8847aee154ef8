"""Dense distillations in small through tools/dist_train.sh, with two processes."""

import json

import pytest
from forked import tool
from runs import TOOLS, run
from small_demo import TASKS, make_small_demo, metrics_of

import mmcskd  # noqa: F401


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return make_small_demo(tmp_path_factory.mktemp('processes'))


@pytest.mark.parametrize('name', [dense for _, dense, _ in TASKS.values()])
def test_two_processes(name, place):
    train = ['bash', TOOLS / 'dist_train.sh', f'{name}.py', 2, '--work-dir', name]
    log = run(*train, cwd=place)
    assert all(metric.split('/')[-1] in log for metric in metrics_of(name))
    sums = [
        [json.loads(line)['sum'] for line in (place / name / f'losses_{rank}.jsonl').open()]
        for rank in (0, 1)
    ]
    # Each process sees images of its own, and both hold the same weights after every step.
    assert len(sums[0]) == 4 and sums[0] == pytest.approx(sums[1], rel=1e-6)
    assert len(set(sums[0])) == 4


def test_one_process_goes_on_as_two(place):
    name = 'cskd_segmenter_vit_fcn'
    whole_batch = ('--cfg-options', 'train_dataloader.batch_size=4')
    tool('train.py', f'{name}.py', '--work-dir', 'one', *whole_batch, cwd=place)
    train = ['bash', TOOLS / 'dist_train.sh', f'{name}.py', 2, '--work-dir', 'again']
    run(*train, '--resume', 'one/iter_2.pth', cwd=place)
    steps = [(place / 'again' / f'losses_{rank}.jsonl').read_text() for rank in (0, 1)]
    assert all(len(lines.splitlines()) == 2 for lines in steps)
    assert (place / 'again' / 'iter_4.pth').is_file()
