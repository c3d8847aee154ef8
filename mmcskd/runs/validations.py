"""What a validation decides, and a checkpoint of the run does not know.

A checkpoint is made before the validation of its epoch or iteration, so a resumed run begins with
that validation.
"""

from typing import List, Sequence

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmpretrain.engine.hooks import PreciseBNHook, SimSiamHook, SwAVHook

STATE = ('wait_count', 'best_score')  # of an EarlyStoppingHook
DONE = 'last_validation'  # in the message hub: the iteration of the last validation


class OverdueValidation(Hook):
    """Make up for the validation that the checkpoint of a resumed run precedes."""

    def before_train(self, runner) -> None:
        """Validate, behind the preparations of all other hooks."""
        if runner._resume and _is_due(runner):
            runner.logger.info('The checkpoint precedes its validation, which comes now.')
            runner.val_loop.run()


def _is_due(runner) -> bool:
    loop = runner.train_loop
    if isinstance(loop, IterBasedTrainLoop):
        done, end = loop.iter, loop.max_iters
    elif isinstance(loop, EpochBasedTrainLoop) and loop.iter == loop.epoch * len(loop.dataloader):
        done, end = loop.epoch, loop.max_epochs
    else:  # in the middle of an epoch
        return False
    if runner.val_loop is None or done < max(loop.val_begin, 1):
        return False
    if runner.message_hub.runtime_info.get(DONE) == loop.iter:
        return False
    loop._decide_current_val_interval()
    return done % loop.val_interval == 0 or done == end


def decide_before_checkpoints(runner) -> None:
    """Move EarlyStoppingHooks before the hook that saves a new best checkpoint.

    Args:
        runner (Runner): Before the run.
    """
    hooks = runner._hooks
    first = next((hook for hook in hooks if isinstance(hook, CheckpointHook)), None)
    for stopping in _stopping(runner):
        if first is not None and hooks.index(stopping) > hooks.index(first):
            hooks.remove(stopping)
            hooks.insert(hooks.index(first), stopping)


def stopping_state(runner) -> dict:
    """What EarlyStoppingHooks count, and whether one of them has ended the training.

    Args:
        runner (Runner): The runner of the training process.
    """
    counts = [[float(getattr(hook, name)) for name in STATE] for hook in _stopping(runner)]
    return dict(counts=counts, stopped=bool(getattr(runner.train_loop, 'stop_training', False)))


def restore_stopping(runner, counts: Sequence[list] = (), stopped: bool = False) -> None:
    """Let EarlyStoppingHooks count on.

    Args:
        runner (Runner): The runner of the training process.
        counts (list[list[float]]): From :func:`stopping_state`. Defaults to ().
        stopped (bool): From there. Defaults to False.
    """
    for hook, values in zip(_stopping(runner), counts):
        hook.__dict__.update(zip(STATE, values))
    runner.train_loop.stop_training = stopped


def check_hooks(runner) -> None:
    """Refuse hooks of MMPretrain with which a resumed run would not be the same.

    Args:
        runner (Runner): Before the run.

    Raises:
        ValueError: For such a hook.
    """
    for hook in runner._hooks:
        name = type(hook).__name__
        if isinstance(hook, SwAVHook):
            reason = 'keeps its queue in a file of its own, which belongs to no checkpoint'
        elif isinstance(hook, PreciseBNHook) and isinstance(runner.train_loop, IterBasedTrainLoop):
            reason = 'begins the data anew in a loop of iterations'
        elif isinstance(hook, SimSiamHook) and hook.adjust_by_epoch:
            reason = 'sets a learning rate at the begin of an epoch alone'
        else:
            continue
        remedy = 'Set adjust_by_epoch=False' if isinstance(hook, SimSiamHook) else 'Take it out'
        raise ValueError(
            f'custom_hooks has a {name}, which {reason}: a resumed run would be another. {remedy}, '
            'or set default_hooks.exact_resume=None.'
        )


def _stopping(runner) -> List[EarlyStoppingHook]:
    return [hook for hook in runner._hooks if isinstance(hook, EarlyStoppingHook)]
