import math
from typing import Any, Dict, Optional, Sequence, Tuple

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmpretrain.models import BaseClassifier
from mmpretrain.models.utils import resize_pos_embed
from mmrazor.registry import HOOKS
from torch import Tensor, nn

from ..checks.class_names import check_run_classes, checkpoint_classes
from ..checks.typed import typed
from .patch_grid import own_grid, saved_grid
from .weights import check_complete, classifier_names, named_as, read_checkpoint, state_dict_of
from .wrapped_model import unwrapped


@HOOKS.register_module()
class DistilledInitHook(Hook):
    """Start fine-tuning from a trained classifier, completely or not at all.

    The hook acts once, before the first iteration of a run that does not resume. MMEngine's
    ``init_cfg=dict(type='Pretrained')`` and ``load_from`` leave weights random that the file lacks;
    here every weight of the backbone comes from the checkpoint. Its names may be those of the
    student (``backbone.…``, also without that prefix), of the algorithm
    (``architecture.backbone.…``), or of timm's ViT. The head is initialised anew unless ``head`` is
    set; of a whole model of timm or torchvision that is its last linear layer.

    Two things may differ: the image size, for which MMPretrain's ``resize_pos_embed`` interpolates
    the position embeddings; and the distillation token, which a plain ``VisionTransformer`` drops
    together with its position embedding.

    Args:
        checkpoint (str, optional): File or URL of the distilled student. Defaults to None, which
            is refused before training, so that no run starts from random weights unnoticed.
        head (bool): Whether to load the head too, for the same classes. Defaults to False.
        grid (tuple[int, int], optional): Height and width in patches of the distilled student's
            images, from which position embeddings are interpolated. Defaults to None: as the
            config in the checkpoint says; a file without one is refused.

    Raises:
        ValueError: Before training, if the checkpoint is not set, cannot be read, has no backbone,
            lacks a weight or has one that the model does not have, if shapes differ, or if
            ``load_from`` is set too.
    """

    priority = 'VERY_HIGH'

    @typed
    def __init__(
        self,
        checkpoint: Optional[str] = None,
        head: bool = False,
        grid: Optional[Tuple[int, int]] = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.head = head
        self.grid = None if grid is None else (grid[0], grid[1])
        self._saved_grid: Optional[Tuple[int, int]] = self.grid
        self._classes: Optional[Sequence[str]] = None

    @property
    def key(self) -> str:
        return f'DistilledInitHook.checkpoint="{self.checkpoint}" (in custom_hooks)'

    def before_train(self, runner) -> None:
        """Load the weights, unless the run was resumed."""
        if runner.iter > 0:
            return
        if runner.cfg.get('load_from') and not runner.cfg.get('resume'):
            raise ValueError(
                f'load_from="{runner.cfg.load_from}" and DistilledInitHook both say where to start '
                'from: take one out of the config.'
            )
        model = unwrapped(runner)
        self.load(getattr(model, 'architecture', model))
        if self.head:
            given = {self.key: self._classes}
            datasets = {'train_dataloader.dataset': runner.train_dataloader.dataset}
            for warning in check_run_classes(model, datasets, given):
                runner.logger.warning(warning)

    def load(self, model: Any) -> None:
        """Load a model's weights from the checkpoint.

        Args:
            model (nn.Module): An MMPretrain classifier with a ``backbone`` and a ``head``.
        """
        state = self._state(model)
        if not hasattr(model, 'backbone'):
            self._fill_whole(model, state)
            return
        backbone = {k[len('backbone.') :]: v for k, v in state.items() if k[:9] == 'backbone.'}
        if not backbone:
            raise ValueError(
                f'{self.key} holds no weights of a backbone, such as "backbone.pos_embed": give a '
                'checkpoint of a classifier.'
            )
        self._fill(model.backbone, _fit_tokens(model.backbone, backbone), 'backbone')
        # A detector or segmentor trains a neck of its own.
        if isinstance(model, BaseClassifier) and model.with_neck and model.neck.state_dict():
            neck = {k[len('neck.') :]: v for k, v in state.items() if k[:5] == 'neck.'}
            self._fill(model.neck, neck, 'neck')
        taken = 'backbone'
        if self.head:
            head = {k[len('head.') :]: v for k, v in state.items() if k[:5] == 'head.'}
            wanted = model.head.state_dict()
            # A student without a distillation token has no distillation head.
            self._fill(model.head, {k: head[k] for k in head if k in wanted}, 'head')
            if hasattr(model, 'head_dist'):  # of a student whose stock head has none
                added = {k[10:]: v for k, v in state.items() if k.startswith('head_dist.')}
                self._fill(model.head_dist, added, 'head_dist')
            taken = 'backbone and head'
        MMLogger.get_current_instance().info(f'Fine-tuning the {taken} of {self.checkpoint}.')

    def _fill_whole(self, model: nn.Module, state: Dict[str, Tensor]) -> None:
        """Load a model of timm or torchvision; without ``head`` all but its last linear layer."""
        wanted = model.state_dict()
        if not self.head:
            new = tuple(classifier_names(model))
            wanted = {name: wanted[name] for name in wanted if name not in new}
        check_complete(
            wanted, state, self.key, type(model).__name__, 'Name the model it is of.', spare=True
        )
        model.load_state_dict({k: state[k] for k in wanted if k in state}, strict=False)
        MMLogger.get_current_instance().info(f'Fine-tuning the model of {self.checkpoint}.')

    def _state(self, model: nn.Module) -> Dict[str, Tensor]:
        """The checkpoint's weights under the model's own names."""
        if not self.checkpoint:
            raise ValueError(
                'DistilledInitHook has no checkpoint, fine-tuning would start from random weights: '
                'set its "checkpoint" in custom_hooks to a distilled student.'
            )
        content = read_checkpoint(self.checkpoint, self.key)
        self._saved_grid = self.grid or saved_grid(content)
        self._classes = checkpoint_classes(content)
        state = named_as(model, state_dict_of(content, self.key))
        if 'pos_embed' in state:  # of a backbone alone
            return {f'backbone.{name}': value for name, value in state.items()}
        return state

    def _fill(self, module: Any, state: Dict[str, Tensor], part: str) -> None:
        wanted = module.state_dict()
        check_complete(
            {f'{part}.{name}': wanted[name] for name in wanted},
            {f'{part}.{name}': state[name] for name in state},
            self.key,
            f'model.{part}',
            f'Set model.{part} as it was distilled.',
            resized=('backbone.pos_embed',),
        )
        if 'pos_embed' in wanted:
            state = {**state, 'pos_embed': self._on_grid(module, state['pos_embed'])}
        module.load_state_dict(state, strict=False)

    def _on_grid(self, backbone: Any, pos_embed: Tensor) -> Tensor:
        """Interpolate from the checkpoint's grid; MMPretrain takes any number for a square."""
        wanted, extra = tuple(backbone.pos_embed.shape), backbone.num_extra_tokens
        grid, own = self._saved_grid, own_grid(backbone)
        if tuple(pos_embed.shape) == wanted and own in (None, grid):
            return pos_embed
        patches = pos_embed.shape[1] - extra
        fits = pos_embed.shape[2] == wanted[2] and own is not None
        if grid is None or math.prod(grid) != patches or not fits:
            said = 'an unknown grid' if grid is None else f'a grid of {grid[0]} × {grid[1]}'
            raise ValueError(
                f'{self.key}: "backbone.pos_embed" has shape {tuple(pos_embed.shape)}, which '
                f'cannot be interpolated to {wanted} on a grid of {own}: {patches} '
                f'patches on {said} behind {extra} tokens. Set "grid" of the hook to (height, '
                'width) of the distilled student in patches, and the width of model.backbone as '
                'it was distilled.'
            )
        return resize_pos_embed(pos_embed, grid, own, backbone.interpolate_mode, extra)


def _fit_tokens(backbone: nn.Module, state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Drop the distillation token, the second token, for a backbone without one."""
    if 'dist_token' not in state or hasattr(backbone, 'dist_token'):
        return state
    embed = state['pos_embed']
    state = {name: value for name, value in state.items() if name != 'dist_token'}
    state['pos_embed'] = embed[:, [i for i in range(embed.shape[1]) if i != 1]]
    return state
