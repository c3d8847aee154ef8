from torch import nn


class ResponseLoss(nn.Module):
    """Base class of the losses: their form (class or distribution), temperature and weight.

    Args:
        mode (str): ``'hard'`` or ``'soft'``.
        temperature (float): T of the soft form, > 0.
        loss_weight (float): >= 0.

    Raises:
        ValueError: Naming the argument, its value and what is expected.
    """

    def __init__(self, mode: str, temperature: float, loss_weight: float) -> None:
        super().__init__()
        name = type(self).__name__
        if mode not in ('hard', 'soft'):
            raise ValueError(f'{name}.mode is {mode!r}, expected "hard" or "soft".')
        check_number(f'{name}.temperature', temperature, above_zero=True)
        check_number(f'{name}.loss_weight', loss_weight, above_zero=False)
        self.mode = mode
        self.temperature = temperature
        self.loss_weight = loss_weight


def check_number(key: str, value: float, above_zero: bool) -> None:
    """Refuse what is no number, not finite, below 0 or, with ``above_zero``, 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < float('inf') or (above_zero and value == 0):
        raise ValueError(f'{key} is {value!r}, expected a number {">" if above_zero else ">="} 0.')
