from mmengine.hooks import Hook
from mmrazor.registry import HOOKS
from torch import nn

from ..checks.typed import typed
from .weights import classifier_names
from .wrapped_model import unwrapped


@HOOKS.register_module()
class HeadFirstHook(Hook):
    """Let the classifier alone learn in the first epochs of a fine-tuning, then all.

    A new classifier's gradients would distort the features that it is given. Meanwhile norms keep
    their statistics, as everything but the classifier is in evaluation mode. With several
    processes ``model_wrapper_cfg`` needs ``find_unused_parameters=True``.

    Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features", section 3.4 (LP-FT).

    Args:
        epochs (int): Epochs in which the classifier learns alone.

    Raises:
        ValueError: If ``epochs`` is negative.
    """

    @typed
    def __init__(self, epochs: int) -> None:
        if epochs < 0:
            raise ValueError(f'HeadFirstHook.epochs is {epochs}, expected 0 or more.')
        self.epochs = epochs

    def before_train_epoch(self, runner) -> None:
        """Freeze everything but the classifier, or nothing."""
        model = unwrapped(runner)
        alone = runner.epoch < self.epochs
        own = {id(model.state_dict(keep_vars=True)[name]) for name in classifier_names(model)}
        for weight in model.parameters():
            weight.requires_grad_(not alone or id(weight) in own)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep frozen parts in evaluation mode; the loop has set all to training."""
        if runner.epoch >= self.epochs or batch_idx:
            return
        for module in unwrapped(runner).modules():
            frozen = [not weight.requires_grad for weight in module.parameters(recurse=False)]
            if frozen and all(frozen) and not isinstance(module, nn.Linear):
                module.eval()
