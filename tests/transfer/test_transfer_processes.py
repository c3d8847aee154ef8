"""Dense distillations in small with two processes, as tools/dist_train.sh starts them."""

import json

import pytest
from small_demo import make_small_demo, metrics_of
from tool_runs import TOOLS, call, run

import mmcskd  # noqa: F401

# One of each toolbox.
DENSE = ['cskd_segmenter_vit_fcn', 'cskd_mask-rcnn_vit_rpn-resnet18']


def two(*arguments, cwd):
    return run(TOOLS / 'dist_train.sh', arguments[0], 2, *arguments[1:], cwd=cwd)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return make_small_demo(
        tmp_path_factory.mktemp('processes'), ('fcn_resnet18', 'faster-rcnn_resnet18')
    )


@pytest.mark.parametrize('name', DENSE)
def test_two_processes(name, place):
    log = two(f'{name}.py', '--work-dir', name, cwd=place)
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
    call('train', f'{name}.py', '--work-dir', 'one', *whole_batch, cwd=place)
    two(f'{name}.py', '--work-dir', 'again', '--resume', 'one/iter_2.pth', cwd=place)
    steps = [(place / 'again' / f'losses_{rank}.jsonl').read_text() for rank in (0, 1)]
    assert all(len(lines.splitlines()) == 2 for lines in steps)
    assert (place / 'again' / 'iter_4.pth').is_file()
