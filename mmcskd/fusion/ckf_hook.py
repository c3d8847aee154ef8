from typing import Any, Dict, List, Optional, Union

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmrazor.registry import HOOKS

from ..checks.typed import typed
from .fusion_schedule import Schedule, build_schedule


@HOOKS.register_module()
class CKFHook(Hook):
    """Cumulative Knowledge Fusion: set the fusion weight before each training iteration.

    The weight is a function of the run's progress alone and is not saved, so it is right directly
    after a resume, with gradient accumulation and in epoch- and iteration-based loops. It is logged
    as ``fusion_weight``. Source: CSKD, section 3.3.

    The hook sets it on every module of the model with a method ``set_fusion_weight``:
    :class:`~mmcskd.CSKDLoss`, or any other loss with that method.

    Args:
        schedule (str | dict | Callable): ``'linear'``, ``'x2'``, ``'cos'``, ``'constant'`` (as
            ``dict(type='constant', value=…)``), any other name in
            :data:`~mmcskd.FUSION_SCHEDULES`, or a function of the progress in [0, 1]. Defaults to
            ``'linear'``.
        by_epoch (bool): Whether progress is epoch ÷ epochs, constant within an epoch, as in the
            authors' code, instead of iteration ÷ iterations. Defaults to False.
        begin (int): Iteration (epoch if ``by_epoch``) up to which progress is 0. Defaults to 0.
        end (int, optional): Iteration (epoch) from which on progress is 1. Defaults to None: the
            end of the run.

    Raises:
        ValueError: For an unknown schedule or a range that is empty, on construction; if the model
            has no such loss or the loop has no epochs to count, before training.
    """

    priority = 'NORMAL'

    @typed
    def __init__(
        self,
        schedule: Union[str, Dict[str, Any], Schedule] = 'linear',
        by_epoch: bool = False,
        begin: int = 0,
        end: Optional[int] = None,
    ) -> None:
        self.schedule = build_schedule(schedule)
        if begin < 0 or (end is not None and end <= begin):
            raise ValueError(f'CKFHook: begin={begin}, end={end}, expected 0 <= begin < end.')
        self.by_epoch = by_epoch
        self.begin = begin
        self.end = end
        self.losses: List[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Find the losses, and refuse a run without any."""
        # Of the class: a wrapper such as FSDP's forwards attributes of the wrapped module.
        modules = runner.model.modules()
        self.losses = [each for each in modules if hasattr(type(each), 'set_fusion_weight')]
        if not self.losses:
            raise ValueError(
                'CKFHook found no CSKDLoss in the model: add one to '
                'model.distiller.distill_losses, or take the hook out of custom_hooks.'
            )
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'CKFHook.by_epoch=True needs epochs, but train_cfg counts iterations: set '
                'train_cfg.by_epoch=True or CKFHook.by_epoch=False.'
            )
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        if self.begin >= length:
            raise ValueError(
                f'CKFHook.begin={self.begin} is not before the end of the run ({length} '
                f'{"epochs" if self.by_epoch else "iterations"}).'
            )

    def progress(self, runner: Runner) -> float:
        """The run's progress in [0, 1] between ``begin`` and ``end``."""
        now = runner.epoch if self.by_epoch else runner.iter
        end = self.end or (runner.max_epochs if self.by_epoch else runner.max_iters)
        return float(min(max((now - self.begin) / (end - self.begin), 0.0), 1.0))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Set and log the fusion weight."""
        fusion_weight = float(self.schedule(self.progress(runner)))
        for loss in self.losses:
            loss.set_fusion_weight(fusion_weight)
        runner.message_hub.update_scalar('train/fusion_weight', fusion_weight)
