"""Write the demo's pictures: a folder of class folders, as a user of one's own images has it.

Each picture of 16 × 16 pixels shows one of scikit-learn's scanned digits among fragments of other
digits, see mmcskd.ClutteredDigits. No digit of one split appears in another.
"""

import argparse
import shutil
from pathlib import Path

import mmcv

from mmcskd import ClutteredDigits

CANVAS = dict(canvas=16, digit=8, fragments=2, fragment=4)
# A folder of DATA, the split of the digits and the number of pictures.
SPLITS = dict(train=('fit', 8000), val=('validation', 1000), test=('test', 2000))


def write(out, splits=SPLITS):
    """Write all splits into a folder that is there whole or not at all; False if it is there."""
    out = Path(out)
    if out.is_dir():
        return False
    partial = out.with_name(f'{out.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    for folder, (split, length) in splits.items():
        canvases = ClutteredDigits(split=split, length=length, **CANVAS)
        for index, canvas in enumerate(canvases.load_data_list()):
            name = canvases.METAINFO['classes'][canvas['gt_label']]
            mmcv.imwrite(canvas['img'][..., 0], str(partial / folder / name / f'{index:05}.png'))
    partial.rename(out)
    return True


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', default='data/digits', help='default: data/digits')
    out = parser.parse_args(arguments).out
    print(f'Wrote {out}' if write(out) else f'{out} is there.')


if __name__ == '__main__':
    main()
