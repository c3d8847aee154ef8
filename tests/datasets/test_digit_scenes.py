"""The small detection and segmentation set: exact, repeatable, its splits disjoint."""

import json

import cv2
import numpy as np
import pytest

from mmcskd import DigitScenes
from mmcskd.datasets.digit_scenes import box_of, label_map, run_lengths

SMALL = dict(training=6, validation=4, canvas=64, sides=(16, 24), digits=(1, 3), fragments=2)


def decoded(encoding):
    flat = np.repeat(np.arange(len(encoding['counts'])) % 2, encoding['counts'])
    return flat.reshape(encoding['size'], order='F').astype(bool)


def test_masks_and_boxes_are_exact():
    scenes = DigitScenes('unused', **SMALL)
    for index in range(20):
        scene = scenes.draw('training', index)
        regions = scene.digits + scene.fragments
        assert 1 <= len(scene.digits) <= 3
        inked = np.sum([region.mask for region in regions], axis=0)
        assert inked.max() == 1  # nothing overlaps
        assert np.array_equal(inked > 0, scene.image > 0)  # and no ink belongs to nothing
        for region in regions:
            left, top, width, height = box_of(region.mask)
            inside = np.zeros_like(region.mask)
            inside[top : top + height, left : left + width] = True
            assert not (region.mask & ~inside).any()
            edges = (region.mask[top], region.mask[top + height - 1])
            edges += (region.mask[:, left], region.mask[:, left + width - 1])
            assert all(edge.any() for edge in edges)
            assert np.array_equal(decoded(run_lengths(region.mask)), region.mask)


def test_run_lengths_of_the_corners():
    mask = np.zeros((3, 2), bool)
    assert run_lengths(mask) == dict(size=[3, 2], counts=[6])
    mask[0, 0] = mask[2, 1] = True
    assert run_lengths(mask) == dict(size=[3, 2], counts=[0, 1, 4, 1])


def test_splits_share_no_digit(tmp_path):
    scenes = DigitScenes(str(tmp_path), **SMALL)
    scenes.draw('training', 0), scenes.draw('validation', 0)
    train, test = ({scan.tobytes() for scan in scenes._scans[s][0]} for s in scenes.lengths)
    assert len(train) > 1000 and len(test) > 300 and not train & test


def test_the_seed_says_it_all():
    one, two, other = (DigitScenes('unused', **SMALL, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.draw('training', 3).image, two.draw('training', 3).image)
    assert not np.array_equal(one.draw('training', 3).image, other.draw('training', 3).image)
    assert not np.array_equal(one.draw('training', 3).image, one.draw('validation', 3).image)


def test_the_folder(tmp_path):
    scenes = DigitScenes(str(tmp_path), **SMALL)
    assert scenes.write() and not scenes.write()
    for split, length in (('training', 6), ('validation', 4)):
        content = json.loads((tmp_path / f'instances_{split}.json').read_text())
        assert [image['id'] for image in content['images']] == list(range(length))
        assert len({each['id'] for each in content['annotations']}) == len(content['annotations'])
        for index in range(length):
            scene = scenes.draw(split, index)
            written = cv2.imread(str(tmp_path / 'images' / split / f'{index:05}.png'), 0)
            labels = cv2.imread(
                str(tmp_path / 'annotations' / split / f'{index:05}.png'), cv2.IMREAD_UNCHANGED
            )
            assert np.array_equal(written, scene.image)
            assert np.array_equal(labels, label_map(scene))
            ours = [each for each in content['annotations'] if each['image_id'] == index]
            assert sum(each['iscrowd'] for each in ours) == len(scene.fragments)
            for each, region in zip(ours, scene.digits + scene.fragments):
                mask = decoded(each['segmentation'])
                left, top, width, height = each['bbox']
                assert np.array_equal(mask, region.mask)
                assert each['area'] == mask.sum()
                assert (labels[mask] == (0 if each['iscrowd'] else region.label + 2)).all()
                assert mask[top : top + height, left : left + width].sum() == mask.sum()
                assert each['category_id'] == region.label + 1
    # Other scenes replace these.
    assert DigitScenes(str(tmp_path), **{**SMALL, 'training': 2}).write()
    assert len(list((tmp_path / 'images' / 'training').glob('*.png'))) == 2


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match=r'sides=\(20,\), canvas=64, expected multiples of 8'):
        DigitScenes('unused', canvas=64, sides=(20,))
    with pytest.raises(ValueError, match=r'digits=\(0, 2\)'):
        DigitScenes('unused', digits=(0, 2))
