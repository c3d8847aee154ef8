from typing import Optional

from mmpretrain.models import TimmClassifier
from mmpretrain.registry import MODELS
from torch import nn

from ..checks.suggest import nearest


@MODELS.register_module()
class TorchvisionClassifier(TimmClassifier):
    """A classifier of torchvision by name, as MMPretrain's ``TimmClassifier`` is one of timm.

    Its weights have torchvision's own names, so that each loads the other's files.

    Args:
        model_name (str): Of ``torchvision.models.list_models()``.
        loss (dict): Defaults to ``dict(type='CrossEntropyLoss', loss_weight=1.0)``.
        data_preprocessor (dict, optional): Defaults to None: MMPretrain's default.
        init_cfg (dict, optional): As in every MMEngine module. Defaults to None.
        **kwargs: Arguments of ``torchvision.models.get_model``, such as ``num_classes``.

    Raises:
        ValueError: For an unknown name, or a model with auxiliary classifiers.
    """

    def __init__(
        self,
        model_name: str,
        loss: dict = dict(type='CrossEntropyLoss', loss_weight=1.0),  # noqa: B006, as in TimmClassifier
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **kwargs,
    ) -> None:
        from torchvision.models import get_model, list_models

        super(TimmClassifier, self).__init__(
            init_cfg=init_cfg,
            data_preprocessor={
                'type': 'mmpretrain.ClsDataPreprocessor',
                **(data_preprocessor or {}),
            },
        )
        if model_name in ('googlenet', 'inception_v3'):
            raise ValueError(
                f'TorchvisionClassifier.model_name is "{model_name}", whose auxiliary classifiers '
                'have no loss here: take another model.'
            )
        try:
            self.model = get_model(model_name, weights=None, **kwargs)
        except ValueError as error:
            raise ValueError(
                f'TorchvisionClassifier.model_name is "{model_name}" ({error}). '
                + nearest(model_name, list_models())
            ) from error
        self.loss_module = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        self.with_cp = False
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)
