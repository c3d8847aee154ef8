"""Fashion-MNIST's files, made up in small, become class folders with the same pixels."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image
from tool_runs import DEMO, load_tool

from mmcskd.app.data_folder import inspect


@pytest.fixture(scope='module')
def tool():
    return load_tool('fashion_mnist_folder', DEMO)


def idx(array):
    head = b'\0\0\x08' + bytes([array.ndim]) + struct.pack(f'>{array.ndim}I', *array.shape)
    return gzip.compress(head + array.tobytes())


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    for prefix, count in (('train', 60), ('t10k', 30)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (tmp_path / f'{prefix}-images-idx3-ubyte.gz').write_bytes(idx(images))
        (tmp_path / f'{prefix}-labels-idx1-ubyte.gz').write_bytes(idx(labels))
    return tmp_path


def run(tool, files, out, *options):
    tool.main([str(out), '--files', str(files), *options])


def test_folders(tool, files, tmp_path, capsys):
    out = tmp_path / 'new' / 'fashion'
    run(tool, files, out, '--per-class', '4', '--test-per-class', '2')
    assert '40 to train, 20 to test' in capsys.readouterr().out
    images = tool.read_idx(files / 'train-images-idx3-ubyte.gz')
    for place in (0, 10, 31, 39):
        path = out / 'train' / tool.CLASSES[place % 10] / f'{place:05d}.png'
        assert np.array_equal(np.asarray(Image.open(path)), images[place])
    assert sorted(path.name for path in (out / 'test' / 'Boot').iterdir()) == [
        '00009.png',
        '00019.png',
    ]
    found = inspect(out, tmp_path / 'run')
    assert found.classes == sorted(tool.CLASSES)
    assert {name: sum(part.values()) for name, part in found.counts.items()} == dict(
        train=30, val=10, test=20
    )
    with pytest.raises(ValueError, match='is not empty'):
        run(tool, files, out)


@pytest.mark.parametrize(
    'harm, message',
    [
        (lambda path: path.unlink(), 'apt-get install dataset-fashion-mnist'),
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), 'cannot be unpacked'),
        (lambda path: path.write_bytes(b''), 'is no whole IDX file'),
        (lambda path: path.write_bytes(gzip.compress(b'\0\0\x08\x01\0\0\0\x09abc')), 'no whole'),
        (lambda path: path.write_bytes(gzip.compress(b'\0\0\x0d\x01\0\0\0\x01a')), 'no whole'),
        (lambda path: path.write_bytes(idx(np.zeros(4, np.uint8))), r'labels \(4,\), expected'),
        (lambda path: path.write_bytes(idx(np.zeros(60, np.uint8))), '0 pictures of Trouser'),
    ],
)
def test_damaged_files(tool, files, tmp_path, harm, message):
    harm(files / 'train-labels-idx1-ubyte.gz')
    with pytest.raises(ValueError, match=message):
        run(tool, files, tmp_path / 'out', '--per-class', '1', '--test-per-class', '1')
