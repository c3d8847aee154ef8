"""demo/transfer_demo.py in small: its runs, the table it writes, what is done not done again."""

import importlib
import json
import re

import pytest
from small_demo import make_small_demo
from tool_runs import DEMO, call

PAGE = 'Before\n<!-- digits -->\nold\n<!-- /digits -->\nAfter\n'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return make_small_demo(tmp_path_factory.mktemp('demo'), teachers=())  # it trains its own


@pytest.fixture
def demo_tool(monkeypatch, place):
    monkeypatch.syspath_prepend(str(DEMO))
    module = importlib.import_module('transfer_demo')  # by its name, as its processes know it
    monkeypatch.setattr(module, 'CONFIGS', place)
    return module


def test_the_table(demo_tool, place):
    (place / 'page.md').write_text(PAGE)
    # A run that was cut short.
    begun = place / 'work_dirs' / 'transfer' / 'segmenter_vit_seed1'
    half = ('--cfg-options', 'train_cfg.max_iters=2', 'randomness.seed=1')
    call('train', 'segmenter_vit.py', '--work-dir', begun, '--no-validate', *half, cwd=place)

    log = call(
        demo_tool, '--page', 'page.md', '--tasks', 'segmenter', '--seeds', '0', '1', cwd=place
    )
    assert '0 of 1 runs are done.' in log and '0 of 6 runs are done.' in log and '[6/6]' in log
    steps = (begun / 'losses_0.jsonl').read_text().splitlines()
    assert len(steps) == 4  # two of them before
    lines = (place / 'page.md').read_text().splitlines()
    assert lines[0] == 'Before' and lines[-1] == 'After' and 'old' not in lines
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines if '|' in line]
    assert rows[0] == ['task', 'arm', 'seed 0', 'seed 1', 'mean ± s.d.', 'minus the row above']
    arms = ['the teacher alone', *demo_tool.ARMS]
    assert [row[:2] for row in rows[2:]] == [['Segmenter, mIoU', arm] for arm in arms]
    scores = [
        json.loads((begun.with_name(f'segmenter_vit_seed{seed}') / 'test.json').read_text())
        for seed in (0, 1)
    ]
    scores = [found['student']['mIoU'] for found in scores]
    spread = abs(scores[0] - scores[1]) / 2**0.5
    cells = [f'{score:.1f}' for score in scores]
    assert rows[3][2:] == [*cells, f'{sum(scores) / 2:.1f} ± {spread:.1f}', '']
    assert re.fullmatch(r'[+-]\d+\.\d ± \d+\.\d', rows[4][-1])

    tasks = ('--tasks', 'segmenter', 'retinanet')
    log = call(demo_tool, '--page', 'page.md', *tasks, '--seeds', '0', cwd=place)
    assert '1 of 2 runs are done.' in log and '3 of 6 runs are done.' in log
    assert 'RetinaNet, box mAP | with dense CSKD' in (place / 'page.md').read_text()
    # The teacher is the one trained here, whatever the config names.
    taught = begun.with_name('cskd_retinanet_vit_resnet18_seed0') / 'log.txt'
    assert 'work_dirs/transfer/retinanet_resnet18/iter_4.pth' in taught.read_text()


def test_what_was_not_run_is_left_open(demo_tool, place):
    folder = place / 'other' / 'mask-rcnn_vit_seed2'
    folder.mkdir(parents=True)
    found = {'coco/bbox_mAP': 0.125, 'coco/segm_mAP': 0.25, 'coco/bbox_mAP_50': 0.5}
    (folder / 'test.json').write_text(json.dumps(dict(student=found)))
    assert demo_tool.table([1, 2], place / 'other').splitlines()[2:] == [
        '| Mask R-CNN, box mAP | from scratch | – | 12.5 | 12.5 |  |',
        '| Mask R-CNN, mask mAP | from scratch | – | 25.0 | 25.0 |  |',
    ]
