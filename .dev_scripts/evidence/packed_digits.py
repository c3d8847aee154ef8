from mmpretrain.registry import DATASETS

from mmcskd import ClutteredDigits


@DATASETS.register_module()
class PackedDigits(ClutteredDigits):
    """:class:`~mmcskd.ClutteredDigits` that go through their pipeline once, not in every epoch.

    For pipelines without a random step: beside a small model the pipeline takes as long.

    Args:
        **kwargs: Of ``ClutteredDigits``.
    """

    def __init__(self, **kwargs) -> None:
        self.packed = {}
        # Serialized, they would be shared with data workers: there are none.
        super().__init__(**{'serialize_data': False, **kwargs})

    def __getitem__(self, idx: int) -> dict:
        """One canvas, packed.

        Args:
            idx (int): Its index.
        """
        if idx not in self.packed:
            self.packed[idx] = super().__getitem__(idx)
        return self.packed[idx]
