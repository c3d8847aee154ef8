"""A folder with everything wrong: what is read is what was said, through the real pipeline."""

import json
import os
import random
import shutil
import tempfile
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from PIL import Image, ImageOps
from tool_runs import ROOT

from mmcskd.app import image_files
from mmcskd.app.data_folder import inspect
from mmcskd.app.data_found import DataFound

DRAW = np.random.default_rng(0)
PIPELINE = [dict(type='LoadWholeImage')]


def pixels(height=24, width=36):
    """Coarse blocks, that survive JPEG."""
    coarse = DRAW.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    return coarse.repeat(12, axis=0).repeat(12, axis=1)


def save(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels() if image is None else image
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def classes(root, names=('cat', 'dog'), count=8):
    for name in names:
        for number in range(count):
            save(root / name / f'{number}.png')
    return root


def reasons(found):
    return {entry['file']: entry['reason'] for entry in found.left_out}


def everything(found):
    return [item for split in found.counts for item in found.split(split)]


def loaded(found):
    """What a run reads of each picture, by path."""
    images = {}
    for split in found.counts:
        dataset = DATASETS.build(dict(found.dataset(split, PIPELINE), _scope_='mmpretrain'))
        assert found.classes == dataset.CLASSES
        for index in range(len(dataset)):
            sample, (path, label) = dataset[index], found.split(split)[index]
            assert sample['img_path'] == str(Path(found.root) / path)
            assert sample['gt_label'] == label
            images[path] = sample['img'][..., ::-1]
    return images


def turned(path, orientation, image):
    exif = Image.Exif()
    exif[274] = orientation
    save(path, image, exif=exif.tobytes(), quality=100, subsampling=0)


def test_everything_wrong(tmp_path):
    root = classes(tmp_path / 'my "own"\'s Bilder é', ('cat', 'dög "x"', '貓'))
    cat = root / 'cat'
    for name in (
        'with  blank .png',
        'quo\'te".png',
        'ünï 貓.png',
        'UPPER.PNG',
        'a.b.JpG',
        'sub/n.png',
    ):
        save(cat / name)
    (cat / 'linked.png').symlink_to(save(tmp_path / 'elsewhere' / 'x.png'))
    (cat / 'linked').symlink_to(save(tmp_path / 'aside' / 'y.png').parent)
    turned(cat / 'turned.jpg', 6, pixels())
    save(cat / 'grey.png', Image.fromarray(pixels()).convert('L'))
    save(cat / 'cmyk.jpg', Image.fromarray(pixels()).convert('CMYK'))
    cv2.imwrite(str(cat / 'deep.png'), pixels().astype(np.uint16) * 257)
    frames = [Image.fromarray(pixels()) for _ in range(3)]
    for suffix in ('gif', 'png', 'webp', 'tiff'):
        save(cat / f'moving.{suffix}', frames[0], save_all=True, append_images=frames[1:])
    good = {path for path, _ in everything(inspect(root, tmp_path / 'first'))}
    # OpenCV up to 4.11 reads no GIF.
    gif = cv2.haveImageReader(str(cat / 'moving.gif'))
    assert len(good) == 24 + 8 + 7 + gif

    # What cannot be used changes nothing of what can.
    content = (cat / 'turned.jpg').read_bytes()
    wrong = {
        'cat/cut.jpg': (content[:-300], 'is cut short'),
        'cat/empty.png': (b'', 'is empty'),
        'cat/page.jpg': (b'<html>404</html>', 'is no image'),
        'cat/notes.txt': (b'hello', 'is no image by its name: .txt'),
        'cat/nosuffix': (content, 'is no image by its name: no suffix'),
        'cat/.DS_Store': (b'x', 'is hidden'),
        'cat/.hidden.png': (content, 'is hidden'),
        'cat/Thumbs.db': (b'x', 'is hidden'),
        'cat/two\nlines.png': (content, 'has a line break in its path, or a blank before it'),
        'loose.png': (content, 'is in no class folder'),
        ' blank/a.png': (content, 'has a line break in its path, or a blank before it'),
    }
    for name, (data, _) in wrong.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    wrong = {name.replace('\n', '\\n'): reason for name, (_, reason) in wrong.items()}
    with open(os.fsencode(cat) + b'/\xff.png', 'wb') as file:
        file.write(content)
    (cat / 'dangling.png').symlink_to(tmp_path / 'nowhere.png')
    (cat / 'itself.png').symlink_to('itself.png')
    (cat / 'loop').symlink_to('..')
    os.mkfifo(cat / 'pipe.png')
    save(cat / '.ipynb_checkpoints' / 'a.png')
    save(root / '__MACOSX' / 'cat' / 'a.png')
    save(cat / 'float.tiff', Image.fromarray(np.zeros((9, 9), np.float32)))
    (root / 'none').mkdir()
    shutil.copy(cat / '0.png', cat / 'copy of 0.png')
    both = pixels()
    save(cat / 'both.png', both), save(root / '貓' / 'both.png', both)
    save(root / 'one' / 'single.png')
    wrong.update({
        'cat/\\udcff.png': 'has a name that is no UTF-8',
        'cat/dangling.png': 'is a link that leads nowhere',
        'cat/itself.png': 'is a link that leads nowhere',
        'cat/loop': 'is a link to a folder that is read already',
        'cat/pipe.png': 'is no regular file',
        'cat/.ipynb_checkpoints': 'is hidden',
        '__MACOSX': 'is hidden',
        'cat/float.tiff': 'is an image that OpenCV does not decode: TIFF',
        'cat/copy of 0.png': 'is a copy: cat/0.png',
        'cat/both.png': 'is in another class too: 貓/both.png',
        '貓/both.png': 'is in another class too: cat/both.png',
    })  # fmt: skip
    if not gif:
        wrong['cat/moving.gif'] = 'is an image that OpenCV does not decode: GIF'
    found = inspect(root, tmp_path / 'out')
    told = reasons(found)
    assert set(told) == set(wrong)
    assert {name: wrong[name] for name in told if not told[name].startswith(wrong[name])} == {}
    assert found.classes == ['cat', 'dög "x"', 'one', '貓']
    assert {path for path, _ in everything(found)} == good | {'one/single.png'}
    assert found.counts['train']['one'] == 1 and found.counts['val']['one'] == 0
    assert found.duplicates == [
        dict(files=['cat/0.png', 'cat/copy of 0.png'], splits=[_split_of(found, 'cat/0.png')]),
        dict(files=['cat/both.png', '貓/both.png'], splits=[]),
    ]
    for note in (
        'Class folder "cat" has folders: their pictures are of the same class.',
        'Class folder "none" has no image files.',
        'Class " blank" has no picture in train that can be used.',
        'No picture in val, so no accuracy there, for: one.',
        f'Pictures that have several frames or pages, of which the first is read: {3 + gif}.',
        'Pictures that are turned upright by the orientation in their EXIF data: 1.',
        'Pictures that are CMYK, converted to RGB without their colour profile: 1.',
        'Pictures that have 16 bits a channel, of which the upper 8 are read: 1.',
    ):
        assert note in found.notes
    assert 5 <= len(found.lines()) <= 13

    images = loaded(found)
    assert set(images) == good | {'one/single.png'}
    for path, image in images.items():
        with Image.open(root / path) as opened:
            wanted = np.asarray(ImageOps.exif_transpose(opened).convert('RGB'))
        if path == 'cat/deep.png':
            continue
        assert image.shape == wanted.shape, path
        assert np.abs(image.astype(int) - wanted).max() <= 1, path


def _split_of(found, path):
    return next(split for split in found.counts for name, _ in found.split(split) if name == path)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation(tmp_path, orientation):
    """As a camera means it: a red corner at the top left, whichever way it was held."""
    upright = np.full((24, 36, 3), 200, np.uint8)
    upright[:12, :12] = (255, 0, 0)
    backwards = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    root = classes(tmp_path / 'data', count=2)
    turned(
        root / 'cat' / 'x.jpg', orientation, np.ascontiguousarray(backwards[orientation](upright))
    )
    found = inspect(root, tmp_path / 'out')
    image = loaded(found)['cat/x.jpg']
    assert image.shape == (24, 36, 3)
    red = (image[..., 0] > 200) & (image[..., 1] < 100)
    assert red[:11, :11].all() and not red[14:].any() and not red[:, 14:].any()
    assert found.size['max'] == [36, 24]


def test_16_bits_are_read_by_their_upper_half(tmp_path):
    root, deep = classes(tmp_path / 'data', count=2), pixels()
    cv2.imwrite(str(root / 'cat' / 'x.png'), (deep.astype(np.uint16) * 256 + 99)[..., ::-1])
    assert np.array_equal(loaded(inspect(root, tmp_path / 'out'))['cat/x.png'], deep)


def test_huge_picture(tmp_path, monkeypatch):
    root = classes(tmp_path / 'data', count=3)
    save(root / 'cat' / 'huge.png', pixels(120, 120))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 5000)
    found = inspect(root, tmp_path / 'out')
    assert reasons(found) == {'cat/huge.png': 'has more pixels than Pillow opens: make it smaller'}


def test_what_opencv_would_not_turn(tmp_path, monkeypatch):
    """An OpenCV that ignores the orientation: the picture is left out, not read lying."""
    root = classes(tmp_path / 'data', count=3)
    turned(root / 'cat' / 'x.jpg', 6, pixels())
    flag = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    monkeypatch.setattr(
        image_files.LoadWholeImage,
        'decode',
        lambda self, content: cv2.imdecode(np.frombuffer(content, np.uint8), flag),
    )
    found = inspect(root, tmp_path / 'out')
    assert reasons(found) == {'cat/x.jpg': 'is not read upright and whole by OpenCV: JPEG'}


def test_unreadable_folder(tmp_path, monkeypatch):
    """As root, who may read everything, the tests run too."""
    root, scan = classes(tmp_path / 'data', ('cat', 'dog', 'owl')), os.scandir

    def refuse(path):
        if Path(path).name == 'owl':
            raise PermissionError(13, 'Permission denied')
        return scan(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    found = inspect(root, tmp_path / 'out')
    assert found.classes == ['cat', 'dog']
    assert reasons(found) == {'owl': 'cannot be read: Permission denied'}


def given_splits(root):
    classes(root / 'train', ('ant', 'bee', 'cow'), 3)
    classes(root / 'val', ('cow', 'ant', 'dog'), 2)
    return root


def test_given_splits(tmp_path):
    """Labels go by the names of train; copies of val and test leave train, those of test val."""
    root = given_splits(tmp_path / 'data')
    classes(root / 'test', ('bee', 'ant'), 2)
    shutil.copy(root / 'val' / 'ant' / '0.png', root / 'train' / 'ant' / 'leaked.png')
    shutil.copy(root / 'val' / 'cow' / '0.png', root / 'train' / 'bee' / 'leaked.png')
    shutil.copy(root / 'test' / 'bee' / '0.png', root / 'val' / 'cow' / 'leaked.png')
    shutil.copy(root / 'test' / 'bee' / '1.png', root / 'test' / 'bee' / 'again.png')
    found = inspect(root, tmp_path / 'out')
    assert found.classes == ['ant', 'bee', 'cow']
    assert found.counts == dict(
        train=dict(ant=3, bee=3, cow=3),
        val=dict(ant=2, bee=0, cow=2),
        test=dict(ant=2, bee=3, cow=0),  # as it was given
    )
    assert reasons(found) == {
        'train/ant/leaked.png': 'is held out too: val/ant/0.png',
        'train/bee/leaked.png': 'is held out too: val/cow/0.png',
        'val/cow/leaked.png': 'is held out too: test/bee/0.png',
        'val/dog/0.png': 'is of a class that train lacks: dog',
        'val/dog/1.png': 'is of a class that train lacks: dog',
    }
    assert dict(found.split('val'))['val/cow/0.png'] == 2
    assert 'No picture in val, so no accuracy there, for: bee.' in found.notes
    assert 'Class "dog" has no picture in train that can be used.' in found.notes
    loaded(found)


def test_splits_that_are_missing(tmp_path):
    """Without val it is drawn from train, whose test stays; with val and no test there is none."""
    root = given_splits(tmp_path / 'data')
    assert set(inspect(root, tmp_path / 'a').counts) == {'train', 'val'}
    (root / 'val').rename(root / 'Testing')
    found = inspect(root, tmp_path / 'b')
    assert set(found.counts) == {'train', 'val', 'test'}
    assert {path.split('/')[0] for path, _ in found.split('test')} == {'Testing'}
    assert {path.split('/')[0] for path, _ in found.split('val')} == {'train'}
    (root / 'Testing').rename(tmp_path / 'away')
    assert set(inspect(root, tmp_path / 'c').counts) == {'train', 'val', 'test'}
    # Of a competition: pictures without classes.
    save(root / 'test' / '1.jpg')
    found = inspect(root, tmp_path / 'd')
    assert found.classes == ['ant', 'bee', 'cow']
    assert reasons(found) == {'test': 'is a split without class folders'}


def test_train_may_be_a_class(tmp_path):
    root = classes(tmp_path / 'vehicles', ('train', 'bus', 'test'), 4)
    assert inspect(root, tmp_path / 'out').classes == ['bus', 'test', 'train']


def test_one_name_in_two_spellings(tmp_path):
    """An é of one and of two characters, as archives from different systems have it."""
    root = tmp_path / 'data'
    for split, name in (('train', 'caf\u00e9'), ('val', 'cafe\u0301')):
        classes(root / split, (name, 'bar'), 2)
    found = inspect(root, tmp_path / 'out')
    assert found.classes == ['bar', 'caf\u00e9']
    assert found.counts['val'] == {'bar': 2, 'caf\u00e9': 2}


def test_the_same_for_any_order_of_the_folder(tmp_path, monkeypatch):
    root, scan = classes(tmp_path / 'data'), os.scandir
    shutil.copy(root / 'cat' / '0.png', root / 'cat' / 'copy.png')
    first = inspect(root, tmp_path / 'a')

    def shuffled(path):
        entries = list(scan(path))
        random.Random(3).shuffle(entries)
        return iter(entries)

    monkeypatch.setattr(os, 'scandir', shuffled)
    second = inspect(root, tmp_path / 'b')
    assert second.splits == first.splits and second.left_out == first.left_out
    assert inspect(root, tmp_path / 'c', seed=1).splits != first.splits


def test_what_is_written(tmp_path, monkeypatch):
    root = classes(tmp_path / 'data')
    found = inspect(root, tmp_path / 'out')
    folder = tmp_path / 'out' / 'data'
    record = json.loads((folder / 'found.json').read_text(encoding='utf-8'))
    assert (record['root'], record['classes']) == (str(root), ['cat', 'dog'])
    assert record['counts'] == found.counts and record['size']['median'] == [36, 24]
    assert (folder / 'classes.txt').read_text() == 'cat\ndog\n'
    texts = [(folder / f'{name}.txt').read_text() for name in found.counts]
    lines = ''.join(texts).splitlines()
    assert len(lines) == 16 and 'cat/0.png 0' in lines and 'dog/7.png 1' in lines

    # Read again as long as nothing changes.
    with monkeypatch.context() as patch:
        patch.setattr(image_files.LoadWholeImage, 'decode', None)
        assert inspect(root, tmp_path / 'out') == found
        assert DataFound.read(folder) == found
    save(root / 'cat' / 'new.png')
    assert len(everything(inspect(root, tmp_path / 'out'))) == 17
    assert 'test' not in inspect(root, tmp_path / 'out', test=0).counts
    assert not (folder / 'test.txt').exists()


def test_the_digest_is_of_what_is_read(tmp_path):
    """In any folder, whatever else lies there."""
    root = classes(tmp_path / 'data')
    digest = inspect(root, tmp_path / 'out').digest
    shutil.copytree(root, tmp_path / 'copy')
    (tmp_path / 'copy' / 'cat' / 'notes.txt').write_text('')
    assert inspect(tmp_path / 'copy', tmp_path / 'out').digest == digest
    assert inspect(root, tmp_path / 'out', seed=1).digest != digest
    path = root / 'cat' / '3.png'
    status = path.stat()
    save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert inspect(root, tmp_path / 'out').digest != digest


def test_annotation_file(tmp_path):
    root = classes(tmp_path / 'data', ('a b', 'c'), 4)
    (root / 'train.txt').write_text('a b/0.png 7\n\na b/1.png 7 \nc/0.png 12\nc/9.png 12\n')
    (root / 'val.txt').write_text('c/2.png 12\n')
    found = inspect(root / 'train.txt', tmp_path / 'out')
    assert found.classes == ['7', '12']
    assert found.splits == dict(
        train=[('a b/0.png', 0), ('a b/1.png', 0), ('c/0.png', 1)], val=[('c/2.png', 1)]
    )
    assert reasons(found) == {'c/9.png': 'does not exist'}
    loaded(found)

    names = '\n'.join(f'class {number}' for number in range(13))
    (root / 'classes.txt').write_text(names + '\n')
    found = inspect(root / 'train.txt', tmp_path / 'out')
    assert len(found.classes) == 13 and found.split('val') == [('c/2.png', 12)]
    assert found.counts['val']['class 12'] == 1
    # What one call has written, another takes.
    copied = shutil.copytree(tmp_path / 'out' / 'data', root / 'lists')
    for name in ('train', 'val'):
        text = (copied / f'{name}.txt').read_text()
        (copied / f'{name}.txt').write_text(text.replace('c/', '../c/').replace('a b', '../a b'))
    again = inspect(copied / 'train.txt', tmp_path / 'again')
    assert again.counts == found.counts and again.classes == found.classes


@pytest.mark.parametrize(
    'line, message',
    [
        ('a.png', r'line 1, is "a.png": expected a path, a blank and a label'),
        ('a.png cat', 'line 1, is "a.png cat": expected a path'),
        ('a.png 2', 'a whole number below 2, as classes.txt has names'),
    ],
)
def test_wrong_annotations(tmp_path, line, message):
    (tmp_path / 'mine.txt').write_text(line + '\n')
    (tmp_path / 'classes.txt').write_text('a\nb\n')
    with pytest.raises(ValueError, match=message):
        inspect(tmp_path / 'mine.txt', tmp_path / 'out')


NAME = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='/\0'), max_size=12)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=4))
def test_any_name(names):
    """A picture under any name is read under that name, or it is said why not."""
    with tempfile.TemporaryDirectory() as folder:
        root = classes(Path(folder) / 'data', count=2)
        wanted, left = {f'{name}/{n}.png' for name in ('cat', 'dog') for n in (0, 1)}, set()
        for label, name in names:
            path = root / f'{label}.d' / f'{name}.png'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(DRAW.integers(0, 256, (2, 2, 3), dtype=np.uint8)).save(path, 'PNG')
            relative = str(path.relative_to(root))
            hidden = relative.startswith('.') or name.startswith('.') or not name
            unfit = set('\n\r') & set(relative) or relative != relative.lstrip()
            (left if hidden or unfit else wanted).add(relative)
        found = inspect(root, Path(folder) / 'out')
        assert set(loaded(found)) == wanted
        told = set(reasons(found))
        for path in left:
            assert told & {image_files.shown(path), image_files.shown(path.split('/')[0])}
        labels = {path: found.classes[label] for path, label in everything(found)}
        for path, label in labels.items():
            assert unicodedata.normalize('NFC', path.split('/')[0]) == label
        assert DataFound.read(Path(found.out)) == found


def test_config_as_data(tmp_path):
    root = given_splits(tmp_path / 'data')
    shutil.rmtree(root / 'val' / 'dog')
    classes(root / 'val', ('bee',), 1)
    (root / 'train' / 'ant' / '0.png').write_bytes(b'')
    part = "dict(type='CustomDataset', data_root={!r}, data_prefix={!r}, pipeline=[])"
    repeated = f"dict(type='RepeatDataset', times=2, dataset={part.format(str(root), 'train')})"
    (tmp_path / 'mine.py').write_text(
        f"custom_imports = dict(imports=['json'])\ntrain_dataloader = dict(dataset={repeated})\n"
        f'val_dataloader = dict(dataset={part.format(str(root), "val")})\n'
        'test_dataloader = val_dataloader\n'
    )
    found = inspect(tmp_path / 'mine.py', tmp_path / 'out')
    assert found.classes == ['ant', 'bee', 'cow']
    assert found.counts == dict(train=dict(ant=6, bee=6, cow=6), val=dict(ant=2, bee=1, cow=2))
    assert found.custom_imports == ['json'] and found.left_out == []
    assert f'{root}/train/ant/0.png is empty, and stays in the data.' in found.notes
    dataset = found.dataset('train', [dict(type='LoadWholeImage'), dict(type='PackInputs')])
    assert (dataset['type'], dataset['times']) == ('RepeatDataset', 2)
    assert [step['type'] for step in dataset['dataset']['pipeline']] == [
        'LoadWholeImage',
        'PackInputs',
    ]
    assert found.split('val')[0] == (f'{root}/val/ant/0.png', 0)


def test_shipped_configs_as_data(tmp_path):
    """Pictures that the dataset makes in memory are loaded by nothing."""
    text = f'_base_ = {str(ROOT / "configs" / "demo" / "none_vit.py")!r}\n'
    text += 'train_dataloader = dict(dataset=dict(length=30))\n'
    text += 'val_dataloader = dict(dataset=dict(length=20))\n'
    (tmp_path / 'digits.py').write_text(text)
    found = inspect(tmp_path / 'digits.py', tmp_path / 'out')
    assert found.classes == list('0123456789') and found.size['median'] == [40, 40]
    assert sum(found.counts['train'].values()) == 30 and found.custom_imports == ['mmcskd']
    # Its test data are longer than val: another split.
    assert len(found.split('test')) == 2000
    dataset = found.dataset('val', [dict(type='LoadWholeImage'), dict(type='PackInputs')])
    built = DATASETS.build(dict(dataset, _scope_='mmpretrain'))
    assert built[3]['inputs'].shape == (3, 40, 40)
    assert int(built[3]['data_samples'].gt_label) == found.split('val')[3][1]


def broken_config(path, text):
    path.write_text(text)
    return path


def test_wrong_configs(tmp_path):
    def message(text):
        with pytest.raises(ValueError) as error:
            inspect(broken_config(tmp_path / 'mine.py', text), tmp_path / 'out')
        return str(error.value)

    assert 'has no train_dataloader.dataset' in message('a = 1\n')
    digits = "dict(dataset=dict(type='ClutteredDigits', split='train', length=3{}))"
    text = f'train_dataloader = {digits.format("")}\n'
    assert 'has no val_dataloader.dataset' in message(text)
    text += f'val_dataloader = {digits.format(", metainfo=dict(classes=[1, 2])")}\n'
    assert 'val_dataloader.dataset has 3 pictures with 2 classes, expected the 10' in message(text)
    text = text.replace('ClutteredDigits', 'Nothing')
    assert 'train_dataloader.dataset is no data for classification (KeyError' in message(text)
    with pytest.raises(ValueError, match='nowhere.py" cannot be read'):
        inspect(tmp_path / 'nowhere.py', tmp_path / 'out')
    assert isinstance(Config.fromfile(tmp_path / 'mine.py'), Config)


def test_refusals(tmp_path):
    def message(data, out='out', **options):
        with pytest.raises(ValueError) as error:
            inspect(data, tmp_path / out, **options)
        assert not (tmp_path / 'out').exists()
        return str(error.value)

    root = classes(tmp_path / 'data', count=1)
    assert message(tmp_path / 'nowhere').endswith('nowhere" does not exist.')
    assert 'is a file of another kind' in message(root / 'cat' / '0.png')
    assert 'lies in DATA' in message(root, out='data/runs')
    assert 'no picture is left for val' in message(root)
    assert 'above 0' in message(root, val=0)
    assert 'at most 0.5 together' in message(root, val=0.4, test=0.4)
    (tmp_path / 'empty').mkdir()
    assert 'has pictures of 0 classes, expected 2 or more class folders' in message(
        tmp_path / 'empty'
    )
    classes(tmp_path / 'zip' / 'photos')
    assert 'if its folders are the classes, name' in message(tmp_path / 'zip')
    for name in ('train', 'val'):
        save(tmp_path / 'flat' / name / 'a.png')
    assert 'has train, val: expected a folder of class folders as train' in message(
        tmp_path / 'flat'
    )
    classes(tmp_path / 'two' / 'train'), classes(tmp_path / 'two' / 'val')
    classes(tmp_path / 'two' / 'valid')
    assert 'has two folders for one split: val, valid' in message(tmp_path / 'two')
    for path in (root / 'cat').iterdir():
        path.write_bytes(b'')
    assert 'has pictures of 1 class, expected 2' in message(root)
    assert 'left out: 1, first: cat/0.png is empty' in message(root)
