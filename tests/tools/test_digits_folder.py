"""The pictures of the first command: real digits among clutter, as a folder of class folders."""

import cv2
import numpy as np
from tool_runs import DEMO, load_tool

from mmcskd.datasets.cluttered_digits import digits_of_split

SPLITS = dict(train=('fit', 40), val=('validation', 20), test=('test', 20))


def test_each_picture_shows_a_whole_digit_of_its_class_and_split(tmp_path):
    tool = load_tool('make_digits_folder', DEMO)
    out = tmp_path / 'digits'
    assert tool.write(out, SPLITS)
    for folder, (split, length) in SPLITS.items():
        images, labels = digits_of_split(split)
        files = sorted((out / folder).glob('*/*.png'))
        assert len(files) == length
        for file in files[:5]:
            picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert picture.shape == (16, 16)
            windows = np.lib.stride_tricks.sliding_window_view(picture, (8, 8)).reshape(-1, 8, 8)
            own = images[labels == int(file.parent.name)]
            assert any((windows == digit).all((1, 2)).any() for digit in own)


def test_a_folder_that_is_there_stays(tmp_path):
    tool = load_tool('make_digits_folder', DEMO)
    (tmp_path / 'digits').mkdir()
    assert not tool.write(tmp_path / 'digits', SPLITS)
    assert not any((tmp_path / 'digits').iterdir())


def test_a_folder_that_was_cut_short_is_written_anew(tmp_path):
    tool = load_tool('make_digits_folder', DEMO)
    (tmp_path / 'digits.partial' / 'train' / '3').mkdir(parents=True)
    (tmp_path / 'digits.partial' / 'train' / '3' / 'half.png').write_bytes(b'')
    assert tool.write(tmp_path / 'digits', SPLITS)
    assert not list((tmp_path / 'digits').rglob('half.png'))
    assert not (tmp_path / 'digits.partial').exists()
