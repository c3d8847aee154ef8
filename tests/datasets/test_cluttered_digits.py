import hashlib

import numpy as np
import pytest

from mmcskd import ClutteredDigits
from mmcskd.datasets.cluttered_digits import digits_of_split


def test_splits_share_no_image():
    train, train_labels = digits_of_split('train')
    test, test_labels = digits_of_split('test')
    assert len(train) + len(test) == 1797
    assert 350 < len(test) < 370
    # Every class is in both, in proportion.
    for labels in (train_labels, test_labels):
        assert np.bincount(labels, minlength=10).min() > len(labels) / 13
    seen = {image.tobytes() for image in train}
    assert not any(image.tobytes() in seen for image in test)


def test_validation_is_parted_from_train_alone():
    parts = {split: digits_of_split(split) for split in ('train', 'test', 'validation', 'fit')}
    seen = {split: {image.tobytes() for image in images} for split, (images, _) in parts.items()}
    assert not seen['validation'] & seen['fit'] and not seen['validation'] & seen['test']
    assert seen['validation'] | seen['fit'] == seen['train']
    assert 280 < len(parts['validation'][0]) < 300
    assert np.bincount(parts['validation'][1], minlength=10).min() > 25


def test_canvases_are_those_of_earlier_versions():
    """Results of the demo and banks hold for these."""
    for split, digest in (('train', '660e182ed6da9f02'), ('test', '3829b87bd8c76d4f')):
        dataset = ClutteredDigits(split=split, length=20)
        sha = hashlib.sha256()
        for index in range(20):
            sha.update(dataset[index]['img'].tobytes() + bytes([dataset[index]['gt_label']]))
        assert sha.hexdigest()[:16] == digest


def test_splits_differ_in_their_canvases():
    labels = [
        ClutteredDigits(split=split, length=30).get_gt_labels()
        for split in ('train', 'test', 'validation', 'fit')
    ]
    assert len(set(map(tuple, labels))) == 4


def test_images_are_the_real_ones():
    from sklearn.datasets import load_digits

    digits = load_digits()
    real = {
        (np.round(image * 255 / 16).astype(np.uint8).tobytes(), label)
        for image, label in zip(digits.images, digits.target)
    }
    images, labels = digits_of_split('test')
    assert all((image.tobytes(), label) in real for image, label in zip(images, labels))


@pytest.mark.parametrize('split', ['train', 'test', 'validation', 'fit'])
def test_whole_digit_is_on_the_canvas(split):
    dataset = ClutteredDigits(split=split, length=12)
    images, labels = digits_of_split(split)
    for index in range(12):
        item = dataset[index]
        assert item['img'].shape == (40, 40, 3) and item['img'].dtype == np.uint8
        canvas = item['img'][..., 0]
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (24, 24))[:, :, ::3, ::3]
        digits = images[labels == item['gt_label']]
        assert any((windows == digit).all(axis=(2, 3)).any() for digit in digits)


def test_places_vary_and_canvases_repeat():
    one, two = (ClutteredDigits(split='train', length=6) for _ in range(2))
    other = ClutteredDigits(split='train', length=6, seed=1)
    for index in range(6):
        assert np.array_equal(one[index]['img'], two[index]['img'])
        assert not np.array_equal(one[index]['img'], other[index]['img'])


def test_without_clutter():
    dataset = ClutteredDigits(split='train', length=4, fragments=0, digit=16, canvas=16)
    images, labels = digits_of_split('train')
    for index in range(4):
        item = dataset[index]
        digits = images[labels == item['gt_label']]
        assert any(np.array_equal(item['img'][::2, ::2, 0], digit) for digit in digits)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(split='val'), r"split is 'val'"),
        (dict(digit=20), 'digit=20.*multiple of 8'),
        (dict(canvas=16), 'canvas=16'),
        (dict(fragment=0), 'fragment=0'),
        (dict(length=0), 'length=0'),
        (dict(fragments=-1), 'fragments=-1'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match='ClutteredDigits.*' + message):
        ClutteredDigits(**{'split': 'train', 'length': 3, **arguments})
