from typing import List, Optional

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.hooks.hook import DATA_BATCH
from mmrazor.registry import HOOKS
from torch import Tensor

MOST = 1000  # iterations before losses are fetched


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook``, with losses that stay on the device until they are logged.

    The stock hook fetches each loss in each iteration, and the host waits for the device each time.
    Here losses stay on the device until a ``LoggerHook`` is about to log, an epoch or the training
    ends, a checkpoint is saved, or 1,000 iterations have passed; then those of all iterations are
    fetched at once. The message hub gets the same values in the same order, later.
    """

    def before_train(self, runner) -> None:
        """As in the stock hook; also find the logger hooks."""
        super().before_train(runner)
        self._waiting: List[dict] = []
        self._loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Keep the losses, or pass them on if they are due."""
        if outputs is not None:
            kept = {
                key: value.detach().reshape(1) if isinstance(value, Tensor) else value
                for key, value in outputs.items()
            }
            self._waiting.append(kept)
        due = (
            len(self._waiting) >= MOST
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
            or any(
                self.every_n_inner_iters(batch_idx, hook.interval)
                or self.every_n_train_iters(runner, hook.interval_exp_name)
                for hook in self._loggers
            )
        )
        if due or self.is_last_train_iter(runner):
            self._hand_over(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Complete the history in the checkpoint."""
        if getattr(self, '_waiting', None):
            self._hand_over(runner)
            if 'message_hub' in checkpoint:
                checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner) -> None:
        """As in the stock hook."""
        self._hand_over(runner)
        super().after_train(runner)

    def _hand_over(self, runner) -> None:
        waiting, self._waiting = self._waiting, []
        tensors = [
            value for kept in waiting for value in kept.values() if isinstance(value, Tensor)
        ]
        found = iter(torch.cat(tensors).tolist() if tensors else ())
        for kept in waiting:
            for key, value in kept.items():
                number = next(found) if isinstance(value, Tensor) else value
                runner.message_hub.update_scalar(f'train/{key}', number)
