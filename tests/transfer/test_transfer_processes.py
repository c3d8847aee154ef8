"""Dense distillations in small through tools/dist_train.sh, with two processes, and tools/test.py."""

import json
import sys

import pytest
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


def test_resumed_by_two_processes_and_tested_by_one(place):
    name = 'cskd_segmenter_vit_fcn'
    train = ['bash', TOOLS / 'dist_train.sh', f'{name}.py', 2, '--work-dir', 'again']
    run(*train, '--cfg-options', 'train_cfg.max_iters=2', cwd=place)
    run(*train, '--resume', cwd=place)
    assert len((place / 'again' / 'losses_0.jsonl').read_text().splitlines()) == 4
    test = [sys.executable, TOOLS / 'test.py', f'{name}.py', 'again/iter_4.pth']
    run(*test, '--work-dir', 'tested', '--out', 'tested.json', cwd=place)
    found = json.loads((place / 'tested.json').read_text())['student']
    assert 0 <= found['mIoU'] <= 100
