"""Faults in the data. Expected: refused by name, or skipped and counted; never a hang."""

import copy
import shutil

import cv2
import numpy as np
import pytest
from fault_runs import At, Lines, forked, runner
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import DATASETS
from models import NUM_CLASSES, algorithm_config
from PIL import Image

from mmcskd import LoadWholeImage
from mmcskd.runs.keyed_views import KeyedDataset


def photo(size=48):
    draw = np.random.default_rng(0)
    small = draw.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def folder(tmp_path):
    """Two JPEG files for each class."""
    for label in range(NUM_CLASSES):
        place = tmp_path / 'data' / f'class_{label}'
        place.mkdir(parents=True)
        for name in 'ab':
            Image.fromarray(photo()).save(place / f'{name}.jpg')
    return tmp_path / 'data'


def load(path, **options):
    return LoadWholeImage(**options)(dict(img_path=str(path)))


HARM = dict(
    truncated_jpeg=(lambda p: p.write_bytes(p.read_bytes()[:-200]), 'is cut short'),
    zero_bytes=(lambda p: p.write_bytes(b''), 'is empty'),
    no_image=(lambda p: p.write_bytes(b'not an image'), 'is no image'),
    header_only=(lambda p: p.write_bytes(p.read_bytes()[:20]), 'is cut short'),
    gone=(lambda p: p.unlink(), r'cannot be read \(FileNotFoundError'),
)


@pytest.mark.parametrize('harm', HARM)
def test_unusable_file(folder, harm):
    path = folder / 'class_0' / 'a.jpg'
    assert load(path)['img'].shape == (48, 48, 3)
    HARM[harm][0](path)
    with pytest.raises(ValueError, match=rf'a\.jpg {HARM[harm][1]}.*on_error="skip"'):
        load(path)
    step = LoadWholeImage(on_error='skip')
    assert step(dict(img_path=str(path))) is None and int(step.skipped) == 1


def test_truncated_png(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(photo()).save(path)
    assert load(path)['img'].shape == (48, 48, 3)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match='is cut short'):
        load(path)


def test_thumbnail_is_not_taken_for_the_end(folder):
    """A JPEG in the header of another, whose own end is missing."""
    path = folder / 'class_0' / 'a.jpg'
    inner = path.read_bytes()
    segment = b'\xff\xe1' + (len(inner) + 2).to_bytes(2, 'big') + inner
    path.write_bytes(inner[:2] + segment + inner[2:])
    assert load(path)['img'].shape == (48, 48, 3)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match='is cut short'):
        load(path)


@pytest.mark.parametrize(
    'kind', ['grey', 'CMYK', '16 bit', '16 bit grey', 'RGBA', 'palette', '1 pixel']
)
def test_odd_image(tmp_path, kind):
    """Becomes what every other image is, close to what it shows."""
    image = photo()
    path = tmp_path / ('a.jpg' if kind in ('grey', 'CMYK') else 'a.png')
    if kind == 'grey':
        Image.fromarray(image).convert('L').save(path, quality=100)
    elif kind == 'CMYK':
        Image.fromarray(image).convert('CMYK').save(path, quality=100)
    elif kind.startswith('16 bit'):
        wide = image.astype(np.uint16) * 257
        cv2.imwrite(str(path), wide[..., 1] if 'grey' in kind else wide[..., ::-1])
    elif kind == '1 pixel':
        image = image[:1, :1]
        Image.fromarray(image).save(path)
    else:
        Image.fromarray(image).convert(dict(RGBA='RGBA', palette='P')[kind]).save(path)
    loaded = load(path)['img'][..., ::-1]  # BGR
    assert loaded.shape == image.shape and loaded.dtype == np.uint8
    if 'grey' in kind:
        assert (np.ptp(loaded, axis=2) == 0).all() and np.ptp(loaded) > 50
    else:
        bound = 40 if kind in ('CMYK', 'palette') else 1
        assert np.abs(loaded.astype(int) - image).mean() < bound


def test_on_error():
    with pytest.raises(ValueError, match=r"on_error is 'ignore', expected \"raise\" or \"skip\""):
        LoadWholeImage(on_error='ignore')


def dataset(folder, on_error='skip', **options):
    return dict(
        type='CustomDataset',
        data_prefix=str(folder),
        pipeline=[
            dict(type='LoadWholeImage', on_error=on_error),
            dict(type='RandomResizedCrop', scale=32),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
        **options,
    )


def tiny(place, data, *hooks, epochs=1, **options):
    return runner(place / 'run', *hooks, epochs=epochs, dataset=data, model=scaled(), **options)


def scaled():
    preprocessor = dict(type='mmpretrain.ClsDataPreprocessor', mean=[127.0] * 3, std=[64.0] * 3)
    return algorithm_config(data_preprocessor=preprocessor)


@pytest.mark.parametrize('workers', [0, 2])
def test_skipped_and_counted(folder, tmp_path, workers):
    """A few bad files among good ones, and every odd size: the epoch is as long as ever."""
    HARM['truncated_jpeg'][0](folder / 'class_0' / 'a.jpg')
    HARM['zero_bytes'][0](folder / 'class_3' / 'b.jpg')
    Image.fromarray(photo(1)).save(folder / 'class_5' / 'a.jpg')

    def train():
        run = tiny(tmp_path, dataset(folder), workers=workers)
        run.train()
        assert run.iter == 7
        assert run.message_hub.get_info('skipped_images') >= 2

    assert forked(train, timeout=60) == 0


def test_counted_on_after_a_resume(folder, tmp_path):
    HARM['truncated_jpeg'][0](folder / 'class_0' / 'a.jpg')
    counts = []
    for epochs in (1, 2):
        run = tiny(tmp_path, dataset(folder), epochs=epochs, resume=epochs == 2)
        run.train()
        counts.append(run.message_hub.get_info('skipped_images'))
    assert 1 <= counts[0] < counts[1]


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset', 'KeyedDataset'])
def test_counted_behind_wrappers(folder, tmp_path, wrapper):
    HARM['truncated_jpeg'][0](folder / 'class_0' / 'a.jpg')
    data = dataset(folder)
    if wrapper == 'RepeatDataset':
        data = dict(type=wrapper, dataset=data, times=2)
    elif wrapper == 'ConcatDataset':
        data = dict(type=wrapper, datasets=[data, copy.deepcopy(data)])
    else:
        data = KeyedDataset(DATASETS.build(data))
    run = tiny(tmp_path, data)
    run.train()
    count = run.message_hub.get_info('skipped_images')
    assert count >= (1 if wrapper == 'KeyedDataset' else 2)


def test_counted_in_a_loop_of_iterations(folder, tmp_path):
    """After each 7 iterations, as many as an epoch has; not at the end alone."""
    HARM['truncated_jpeg'][0](folder / 'class_0' / 'a.jpg')
    log = Lines()
    log.listen(tiny(tmp_path, dataset(folder), iterations=21)).train()
    lines = [text for _, text in log.lines if 'images could not be used so far' in text]
    assert len(lines) == 3


@pytest.mark.parametrize('kind', ['jpg', 'grey jpg', 'png'])
def test_whole_files_are_what_the_stock_transform_makes_of_them(tmp_path, kind):
    image = Image.fromarray(photo()).convert('L' if 'grey' in kind else 'RGB')
    path = tmp_path / f'a.{kind[-3:]}'
    image.save(path)
    stock, found = LoadImageFromFile()(dict(img_path=str(path))), load(path, on_error='skip')
    assert found.keys() == stock.keys() and np.array_equal(found['img'], stock['img'])
    assert found['img_shape'] == stock['img_shape'] and found['ori_shape'] == stock['ori_shape']
    # What some cameras and tools write behind the end is no harm.
    path.write_bytes(path.read_bytes() + b'\0\0')
    assert np.array_equal(load(path)['img'], stock['img'])


@pytest.mark.parametrize('workers', [0, 2])
def test_refused_by_name(folder, tmp_path, workers):
    HARM['truncated_jpeg'][0](folder / 'class_0' / 'a.jpg')

    def train():
        with pytest.raises(ValueError, match=r'class_0/a\.jpg is cut short'):
            tiny(tmp_path, dataset(folder, on_error='raise'), workers=workers).train()

    assert forked(train, timeout=60) == 0


@pytest.mark.parametrize(
    'on_error, message', [('raise', 'FileNotFound'), ('skip', 'Cannot find valid')]
)
def test_directory_vanishes_in_mid_epoch(folder, tmp_path, on_error, message):
    """Ends with an error, also where single files would be skipped."""
    data = dataset(folder, on_error=on_error, max_refetch=20)
    run = tiny(tmp_path, data, At(3, lambda run: shutil.rmtree(folder)))
    with pytest.raises(Exception, match=message):
        run.train()
    assert run.iter == 3


def test_labels_out_of_range(folder, tmp_path):
    (folder / 'class_7').mkdir()
    shutil.copy(folder / 'class_0' / 'a.jpg', folder / 'class_7')
    with pytest.raises(ValueError, match=r'1 labels outside of 0 to 6, the first is 7 \(1 times\)'):
        tiny(tmp_path, dataset(folder)).train()


def test_empty_class_is_told(folder, tmp_path):
    shutil.rmtree(folder / 'class_2')
    classes = [f'class_{label}' for label in range(NUM_CLASSES)]
    (folder.parent / 'list.txt').write_text(
        ''.join(f'class_{i}/a.jpg {i}\n' for i in range(NUM_CLASSES) if i != 2)
    )
    data = dict(
        dataset(folder), ann_file=str(folder.parent / 'list.txt'), metainfo=dict(classes=classes)
    )
    log = Lines()
    run = log.listen(tiny(tmp_path, data))
    run.train()
    assert any(
        '1 of 7 classes have no image' in text and 'class_2' in text for _, text in log.lines
    )
