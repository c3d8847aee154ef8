"""Dense distillations in small with two processes, as tools/dist_train.sh starts them."""

import json

import pytest
from forked import tool, tool_of_two
from small_demo import TASKS, make_small_demo, metrics_of
from tool_runs import TOOLS, run

import mmcskd  # noqa: F401

DENSE = [dense for _, dense, _ in TASKS.values()]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return make_small_demo(tmp_path_factory.mktemp('processes'))


@pytest.mark.parametrize('name', DENSE)
def test_two_processes(name, place):
    train = (f'{name}.py', '--work-dir', name)
    if name == DENSE[0]:
        log = run('bash', TOOLS / 'dist_train.sh', train[0], 2, *train[1:], cwd=place)
    else:
        log = tool_of_two('train.py', *train, cwd=place)
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
    train = ('train.py', f'{name}.py', '--work-dir', 'again', '--resume', 'one/iter_2.pth')
    tool_of_two(*train, cwd=place)
    steps = [(place / 'again' / f'losses_{rank}.jsonl').read_text() for rank in (0, 1)]
    assert all(len(lines.splitlines()) == 2 for lines in steps)
    assert (place / 'again' / 'iter_4.pth').is_file()
