import functools
from collections.abc import Sequence


def bridge_validation_outputs() -> None:
    """Let a model's ``predict`` return other things than a list, as an evaluator may take them.

    Symptom: "KeyError: -1" from a validation or test loop, MMRazor's distillation loops among them.
    Cause: MMEngine from 0.10.5 on looks at the last of the outputs for a loss of the validation,
    whatever they are.
    Applies: outputs that are no sequence, or an empty one; no loss is among them. Others are treated
    as ever.
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
