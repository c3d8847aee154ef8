import functools
from collections.abc import Sequence


def bridge_validation_outputs() -> None:
    """Let a model's ``predict`` return other types than a list.

    Symptom: "KeyError: -1" from a validation or test loop, MMRazor's distillation loops among them.
    Cause: MMEngine from 0.10.5 on looks for a validation loss in ``outputs[-1]``, of any type.
    Applies: outputs that are no sequence or an empty one, which hold no loss.
    """
    from mmengine.runner import loops

    stock = getattr(loops, '_update_losses', None)
    if stock is None or hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def update_losses(outputs, losses):
        if not isinstance(outputs, Sequence) or not outputs:
            return outputs, losses
        return stock(outputs, losses)

    loops._update_losses = update_losses
