import json
from pathlib import Path
from typing import List

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..checks.typed import typed

YEARS = (2017, 2018, 2019)
SPLITS = ('train', 'val')


@DATASETS.register_module()
class INaturalist(BaseDataset):
    """iNaturalist, from the files of its competitions as downloaded.

    ``<split><year>.json`` is in COCO's form: ``images`` with ``id`` and ``file_name``,
    ``annotations`` with ``image_id`` and ``category_id``, ``categories`` with ``id`` and ``name``.
    File names hold the folder: ``train_val2018/Plantae/7477/….jpg``. ::

        inat2018
        ├── train2018.json
        ├── val2018.json
        └── train_val2018
            └── Plantae/…

    Labels number the categories in the order of their ids. In 2018 (8,142 classes) and 2019 (1,010
    classes) the ids run from 0, and a label is the id.

    Args:
        data_root (str): The directory with the annotation files and the images.
        year (int): Year of the competition: 2017, 2018 or 2019.
        split (str): ``'train'`` or ``'val'``; the test splits have no labels. Defaults to
            ``'train'``.
        **kwargs: Arguments of ``mmpretrain.datasets.BaseDataset``, such as ``pipeline``.

    Raises:
        ValueError: For another year or split, or an annotation file that is missing, is no JSON,
            lacks one of the three tables, annotates an image or a category that it does not list,
            or annotates nothing.

    Examples:
        >>> dataset = dict(type='INaturalist', data_root='data/inat2018', year=2018, split='val')
    """

    @typed
    def __init__(self, data_root: str, year: int, split: str = 'train', **kwargs) -> None:
        if year not in YEARS:
            raise ValueError(f'INaturalist.year is {year!r}, expected one of {YEARS}.')
        if split not in SPLITS:
            raise ValueError(f'INaturalist.split is {split!r}, expected one of {SPLITS}.')
        self.split = split
        super().__init__(ann_file=f'{split}{year}.json', data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Paths and labels of all images, ``img_path`` and ``gt_label``."""
        tables = self._tables()
        categories = sorted(tables['categories'], key=lambda category: category['id'])
        labels = {category['id']: label for label, category in enumerate(categories)}
        # Classes that the config names have precedence.
        self._metainfo.setdefault('classes', tuple(str(c['name']) for c in categories))
        files = {image['id']: image['file_name'] for image in tables['images']}
        data_list = []
        for annotation in tables['annotations']:
            image, category = annotation['image_id'], annotation['category_id']
            for what, key, known in (('image', image, files), ('category', category, labels)):
                if key not in known:
                    raise ValueError(
                        f'INaturalist: "{self.ann_file}" annotates {what} {key}, which it does '
                        'not list: is the file complete?'
                    )
            path = Path(self.data_prefix['img_path'] or self.data_root) / files[image]
            data_list.append(dict(img_path=str(path), gt_label=labels[category]))
        if not data_list:
            raise ValueError(f'INaturalist: "{self.ann_file}" annotates no images.')
        return data_list

    def _tables(self) -> dict:
        try:
            content = json.loads(Path(self.ann_file).read_text(encoding='utf-8'))
        except OSError as error:
            raise ValueError(
                f'INaturalist: "{self.ann_file}" cannot be read ({error.strerror}): unpack the '
                "competition's annotations into data_root, or set data_root to where they lie."
            ) from error
        except ValueError as error:
            raise ValueError(f'INaturalist: "{self.ann_file}" is no JSON ({error}).') from error
        for table in ('images', 'annotations', 'categories'):
            if not isinstance(content, dict) or not isinstance(content.get(table), list):
                raise ValueError(
                    f'INaturalist: "{self.ann_file}" has no list "{table}", expected an '
                    "annotation file of iNaturalist's competition, in COCO's form."
                )
        return content
