"""The split of pictures: every picture once, every class in train, the same for any order."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcskd.app.data_split import divide, drop_copies, shares
from mmcskd.app.image_files import Picture


def picture(path, label, content=None):
    return Picture(path, label, content or path, (4, 4), ())


COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=6)
SHARES = st.tuples(st.floats(0.01, 0.5), st.floats(0, 0.5)).filter(lambda two: sum(two) <= 0.5)


def pictures_of(counts):
    return [
        picture(f'{label}/{number}.png', str(label))
        for label, count in enumerate(counts)
        for number in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(COUNTS, SHARES, st.integers(0, 9), st.randoms(use_true_random=False))
def test_divide(counts, wanted, seed, random):
    pictures = pictures_of(counts)
    parts = divide(pictures, *wanted, seed)
    where = Counter(picture.path for part in parts.values() for picture in part)
    assert where == Counter(picture.path for picture in pictures)
    assert set(where.values()) == {1}
    for label, count in enumerate(counts):
        of = {
            name: sum(picture.label == str(label) for picture in part)
            for name, part in parts.items()
        }
        assert of['train'] >= 1
        for name, share in zip(('val', 'test'), wanted):
            assert abs(of[name] - share * count) <= 1
        assert (of['val'] > 0) == (count > 1)
        assert (of['test'] > 0) == (count > 2 and wanted[1] > 0)

    random.shuffle(pictures)
    assert divide(pictures, *wanted, seed) == parts


def test_shares():
    assert [shares(count, 0.15, 0.15) for count in (1, 2, 3, 10, 20, 100)] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (15, 15),
    ]
    assert shares(3, 0.5, 1e-9) == (1, 1)  # one is left to learn from
    assert shares(100, 0.15, 0) == (15, 0)


def test_names_have_no_influence():
    """The split is by content: of a renamed picture it stays."""
    pictures = [picture(f'{number}.png', 'a', f'content {number}') for number in range(20)]
    renamed = [picture(f'x{number}.png', 'a', f'content {number}') for number in range(20)]
    one, two = divide(pictures, 0.2, 0.2, 0), divide(renamed, 0.2, 0.2, 0)
    for name in one:
        assert {p.content for p in one[name]} == {p.content for p in two[name]}


def test_seeds_differ():
    pictures = pictures_of([40, 40])
    val = {tuple(divide(pictures, 0.2, 0.2, seed)['val']) for seed in range(5)}
    assert len(val) == 5


def test_more_pictures_move_few():
    """One more of a class of 60 moves at most one picture at each border."""
    before, after = divide(pictures_of([60]), 0.2, 0.2, 3), divide(pictures_of([61]), 0.2, 0.2, 3)
    moved = sum(len(set(before[name]) - set(after[name])) for name in before)
    assert moved <= 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from('abc'), st.integers(0, 8)), max_size=30),
    st.sets(st.integers(0, 8)),
)
def test_drop_copies(labelled, held):
    """What is kept has each content once, with one label, and none that is held out."""
    pictures = [
        picture(f'{label}/{number}.png', label, str(content))
        for number, (label, content) in enumerate(labelled)
    ]
    kept, dropped = drop_copies(pictures, {str(content): 'val/v.png' for content in held})
    assert {p.path for p in kept} | set(dropped) == {p.path for p in pictures}
    assert len(kept) + len(dropped) == len(pictures)
    labels = {}
    for label, content in labelled:
        labels.setdefault(content, set()).add(label)
    wanted = {str(c) for c, names in labels.items() if c not in held and len(names) == 1}
    assert sorted(p.content for p in kept) == sorted(wanted)
    assert drop_copies(reversed(pictures), {str(c): 'val/v.png' for c in held})[0] == kept


@pytest.mark.parametrize(
    'held, reason',
    [
        ({}, {'a/2.png': 'is a copy: a/1.png'}),
        (
            {'x': 'val/v.png'},
            {'a/1.png': 'is held out too: val/v.png', 'a/2.png': 'is held out too: val/v.png'},
        ),
    ],
)
def test_reasons(held, reason):
    assert drop_copies([picture('a/2.png', 'a', 'x'), picture('a/1.png', 'a', 'x')], held)[1] == (
        reason
    )
    assert drop_copies([picture('a/2.png', 'a', 'x'), picture('b/1.png', 'b', 'x')], {}) == (
        [],
        {
            'a/2.png': 'is in another class too: b/1.png',
            'b/1.png': 'is in another class too: a/2.png',
        },
    )
