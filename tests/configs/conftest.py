import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """ImageNet in its layout on the disk: a folder for each class, an image in six of them."""
    root = tmp_path_factory.mktemp('imagenet')
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for index in range(1000):
            folder = root / split / f'n{index:08d}'
            folder.mkdir(parents=True)
            if index < 6:
                height, width = rng.integers(230, 300, size=2)
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{folder.name}_{index}.JPEG')
    return root
