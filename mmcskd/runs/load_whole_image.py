from typing import Optional

import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS

from ..checks.typed import typed


@TRANSFORMS.register_module()
class LoadWholeImage(LoadImageFromFile):
    """``LoadImageFromFile`` that detects files that are no complete image.

    With OpenCV 4 the stock transform decodes the missing part of a truncated JPEG as grey without a
    message, and its error for an empty file does not name it. Grey, CMYK and 16-bit images become
    three channels of 8 bits, as with the stock transform.

    Args:
        on_error (str): ``'raise'`` ends the run with the file's name. ``'skip'`` logs it, counts it
            in ``skipped`` (shared by all data workers; :class:`~mmcskd.DataCheckHook` reports it)
            and returns None. MMEngine's datasets then load another random image in training, and
            raise an error after ``max_refetch`` (1000) in a row. Defaults to ``'raise'``.
        **kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.

    Raises:
        ValueError: For another ``on_error``; when loading, for a file that cannot be read, is cut
            short or is no image.
    """

    @typed
    def __init__(self, on_error: str = 'raise', **kwargs) -> None:
        if on_error not in ('raise', 'skip'):
            raise ValueError(
                f'LoadWholeImage.on_error is {on_error!r}, expected "raise" or "skip".'
            )
        super().__init__(**kwargs)
        self.on_error = on_error
        self.skipped = torch.zeros((), dtype=torch.int64).share_memory_()

    def transform(self, results: dict) -> Optional[dict]:
        """Load the image of a sample.

        Args:
            results (dict): With ``img_path``.

        Returns:
            dict | None: With ``img`` (height, width, 3), ``img_shape`` and ``ori_shape``.
        """
        name = results['img_path']
        try:
            image = self.decode(fileio.get(name, backend_args=self.backend_args))
        except Exception as error:  # any error of the file system or the decoder
            known = isinstance(error, BrokenImage)
            reason = error if known else f'cannot be read ({type(error).__name__}: {error})'
            if self.on_error == 'raise':
                raise ValueError(
                    f'{name} {reason}: replace it, or set on_error="skip" of LoadWholeImage in '
                    'train_dataloader.dataset.pipeline.'
                ) from None
            self.skipped += 1
            print_log(f'{name} {reason}: skipped.', 'current', 30)
            return None
        if self.to_float32:
            image = image.astype('float32')
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results

    def decode(self, content: bytes) -> np.ndarray:
        """Decode the content of a file.

        Args:
            content (bytes): The whole file.

        Returns:
            ndarray: Of shape (height, width, 3), 8 bits, BGR.

        Raises:
            BrokenImage: If it is empty, cut short or no image.
        """
        reason = _fault(content)
        if reason is not None:
            raise BrokenImage(reason)
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise BrokenImage('is no image')
        return image


class BrokenImage(ValueError):
    """A file that is no whole image, with the reason as message."""


def _fault(content: bytes) -> Optional[str]:
    """The damage of an image file that decoders ignore; None if there is none."""
    if not content:
        return 'is empty'
    if content[:2] == b'\xff\xd8':
        if content[-2:] == b'\xff\xd9':  # true of nearly all files; a search takes longer
            return None
        # Behind the last scan: a thumbnail has an end marker too.
        whole = content.rfind(b'\xff\xd9') > content.rfind(b'\xff\xda') > 0
    elif content[:8] == b'\x89PNG\r\n\x1a\n':
        whole = b'IEND' in content[-64:]
    else:
        return None
    return None if whole else 'is cut short'
