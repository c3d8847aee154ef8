"""Write pictures of Fashion-MNIST as PNG files, OUT/train/<class>/ and OUT/test/<class>/.

The files come with Debian's package dataset-fashion-mnist: 28 x 28 grey photographs of clothing by
Zalando, 60,000 to train and 10,000 to test. Taken are the first ones of each class.
"""

import argparse
import gzip
import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGE = 'dataset-fashion-mnist'
FILES = '/usr/share/datasets/fashion-mnist'
CLASSES = (
    'T-shirt', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Boot'
)  # fmt: skip
PREFIXES = dict(train='train', test='t10k')


def read_idx(path):
    """The array of an IDX file.

    Args:
        path (Path): A gzipped file of unsigned bytes.

    Returns:
        ndarray: In the shape that the file states.

    Raises:
        ValueError: If there is no such file, or it is no whole one.
    """
    if not path.is_file():
        raise ValueError(
            f'{path} does not exist: `apt-get install {PACKAGE}` brings it, or '
            f'`apt-get download {PACKAGE}` and `dpkg-deb -x {PACKAGE}_*.deb FOLDER`, with '
            f'--files FOLDER{FILES}.'
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f'{path} cannot be unpacked ({error}).') from error
    # Two zero bytes, 8 for unsigned bytes, the number of dimensions; then these, big-endian.
    dimensions = content[3] if content[:3] == b'\0\0\x08' else 0
    start = 4 + 4 * dimensions
    shape = struct.unpack(f'>{dimensions}I', content[4:start]) if len(content) > start else ()
    if not shape or math.prod(shape) != len(content) - start:
        raise ValueError(f'{path} is no whole IDX file of unsigned bytes.')
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_split(files, prefix, out, per_class):
    """Write the first pictures of each class.

    Args:
        files (Path): Folder of the IDX files.
        prefix (str): Of their names: ``'train'`` or ``'t10k'``.
        out (Path): Folder of the class folders.
        per_class (int): Pictures of each class.

    Returns:
        int: Pictures written.

    Raises:
        ValueError: If the files are damaged or a class has too few pictures.
    """
    images = read_idx(files / f'{prefix}-images-idx3-ubyte.gz')
    labels = read_idx(files / f'{prefix}-labels-idx1-ubyte.gz')
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f'{files}: {prefix} has images {images.shape} and labels {labels.shape}, expected '
            '(N, height, width) and (N).'
        )
    for label, name in enumerate(CLASSES):
        chosen = np.flatnonzero(labels == label)[:per_class]
        if len(chosen) < per_class:
            raise ValueError(
                f'{prefix} has {len(chosen)} pictures of {name}, expected {per_class}.'
            )
        (out / name).mkdir(parents=True)
        for index in chosen:
            Image.fromarray(images[index]).save(out / name / f'{index:05d}.png')
    return per_class * len(CLASSES)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', metavar='OUT', help='folder to write, such as data/fashion')
    parser.add_argument(
        '--per-class', type=int, default=200, metavar='N', help='of train; default: 200'
    )
    parser.add_argument(
        '--test-per-class', type=int, default=200, metavar='N', help='default: 200; 1000 are all'
    )
    parser.add_argument(
        '--files', default=FILES, metavar='FOLDER', help=f'of the IDX files; default: {FILES}'
    )
    args = parser.parse_args(arguments)
    out = Path(args.out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f'OUT "{out}" is not empty: name another folder.')
    if min(args.per_class, args.test_per_class) < 1:
        raise ValueError('--per-class and --test-per-class: expected 1 or more.')
    counts = dict(train=args.per_class, test=args.test_per_class)
    written = [
        f'{write_split(Path(args.files), PREFIXES[split], out / split, count):,} to {split}'
        for split, count in counts.items()
    ]
    print(f'Wrote pictures of {len(CLASSES)} classes into {out}: {", ".join(written)}')


if __name__ == '__main__':
    main()
