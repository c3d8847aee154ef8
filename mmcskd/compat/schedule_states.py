import functools


def bridge_schedule_states() -> None:
    """Let the state of every schedule be read under ``weights_only=True``.

    Symptom: "Weights only load failed … OneCycleParamScheduler" on resume with ``OneCycleLR``.
    Cause: MMEngine stores all attributes of a schedule, functions among them.
    Applies: functions, which the constructor sets again.
    """
    from mmengine.optim import _ParamScheduler

    stock = _ParamScheduler.state_dict
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def state_dict(self):
        return {name: value for name, value in stock(self).items() if not callable(value)}

    _ParamScheduler.state_dict = state_dict
