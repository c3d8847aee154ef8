"""Fashion-MNIST, of which a student has few images to learn from."""

import numpy as np
from mmpretrain.datasets import FashionMNIST
from mmpretrain.registry import DATASETS

SPLITS = ('fit', 'validation', 'test')


@DATASETS.register_module()
class FashionSubset(FashionMNIST):
    """As many images of each class, of one of three splits that share none.

    ``fit`` and ``validation`` are drawn from the 60,000 training images, class by class, in an
    order that a seed decides: the one from its beginning, the other from its end. ``test`` is the
    official test split, of which fewer images are drawn alike.

    Args:
        split (str): One of ``SPLITS``.
        length (int): How many images, a multiple of the ten classes.
        draw_seed (int): Of the order. Defaults to 0.
        **kwargs: Of MMPretrain's ``FashionMNIST``, ``data_root`` among them: the four idx files of
            the usual download or of Debian's package ``dataset-fashion-mnist``, unpacked.

    Raises:
        ValueError: For another split, or a length that is not there.
    """

    def __init__(self, split: str, length: int, draw_seed: int = 0, **kwargs) -> None:
        if split not in SPLITS:
            raise ValueError(f'FashionSubset.split is {split!r}, expected one of {SPLITS}.')
        self.part, self.length, self.draw_seed = split, length, draw_seed
        # Not serialized: there are no data workers to share it with.
        # By test_mode MMPretrain chooses the files, not by its own split.
        official = dict(split='test', test_mode=True) if split == 'test' else dict(split='train')
        super().__init__(**{'serialize_data': False, **official, **kwargs})

    def load_data_list(self) -> list:
        """The drawn images, class by class."""
        images = super().load_data_list()
        labels = np.array([image['gt_label'] for image in images])
        draw = np.random.default_rng(self.draw_seed)
        classes = len(self.metainfo['classes'])
        count, rest = divmod(self.length, classes)
        found = []
        for label in range(classes):
            order = draw.permutation(np.flatnonzero(labels == label))
            if rest or not 0 < count <= len(order):
                raise ValueError(
                    f'FashionSubset.length is {self.length}, expected a multiple of {classes} up '
                    f'to {classes * len(order)}.'
                )
            found += list(order[-count:] if self.part == 'validation' else order[:count])
        return [images[index] for index in found]
