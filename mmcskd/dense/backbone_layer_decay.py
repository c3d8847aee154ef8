from typing import Any, List, Tuple

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

PREFIXES = ('architecture.backbone.', 'backbone.')
# At the depth of the input; MMPretrain 1.2 counts the distillation token to the last layer.
INPUT_TOKENS = ('cls_token', 'dist_token', 'pos_embed')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneLayerDecay(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer-wise learning-rate decay for a ViT within any model.

    MMPretrain's constructor takes the depth of a parameter from the whole model, which only
    classifiers provide; those of MMDetection and MMSegmentation read it from names that
    MMPretrain's ViTs do not have. This one takes it from the backbone of a classifier, detector,
    segmentor or distilled student. Parameters outside the backbone have the full learning rate.

    ``paramwise_cfg`` is MMPretrain's: ``layer_decay_rate``, ``norm_decay_mult``,
    ``bias_decay_mult``, ``flat_decay_mult``, ``custom_keys``.

    Raises:
        ValueError: If the backbone has no ``get_layer_depth``.
    """

    def add_params(self, params: List[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Add all parameters of a model, each with its learning rate.

        Args:
            params (list[dict]): The list to which groups are added.
            module (nn.Module): The model.
            prefix (str): Its name within a larger one. Defaults to an empty string.
            **kwargs: Arguments of MMPretrain's constructor.
        """
        if kwargs.get('get_layer_depth') is None:
            backbone: Any = getattr(getattr(module, 'architecture', module), 'backbone', None)
            if not hasattr(backbone, 'get_layer_depth'):
                raise ValueError(
                    f'optim_wrapper.constructor="BackboneLayerDecay": '
                    f'{type(backbone).__name__} does not say how deep its parameters lie: take one '
                    "of MMPretrain's vision transformers, or leave out the constructor."
                )

            def depth(name: str) -> Tuple[int, int]:
                for start in PREFIXES:
                    if name.startswith(start):
                        if name[len(start) :] in INPUT_TOKENS:
                            name = f'{start}cls_token'
                        return backbone.get_layer_depth(name, start)
                return backbone.get_layer_depth('', 'backbone.')

            kwargs['get_layer_depth'] = depth
        super().add_params(params, module, prefix=prefix, **kwargs)
