from mmpretrain.registry import MODELS

from .cskd_deit_head import CSKDDeiTHead


@MODELS.register_module()
class CSKDViTHead(CSKDDeiTHead):
    """The student head for a plain ViT, one with a class token but no distillation token.

    As :class:`~mmcskd.CSKDDeiTHead`, with a distillation head (``layers.head_dist``) that the
    patch tokens alone use. ``vote='cls'`` leaves it out at test time, so that the trained student
    is the stock architecture.

    Args:
        num_classes (int): C.
        in_channels (int): D, the width of a token.
        vote (Sequence[str]): Who votes at test time, of ``'cls'`` and ``'patch'``. Defaults to
            both.
        **kwargs: Of ``mmpretrain.models.DeiTClsHead``.
    """

    num_extra_tokens = 1
    voters = ('cls', 'patch')
