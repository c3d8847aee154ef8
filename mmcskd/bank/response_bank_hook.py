from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmrazor.registry import HOOKS

from ..runs.exact_resume_hook import ExactResumeHook
from ..runs.wrapped_model import unwrapped
from .bank_fingerprint import ABSENT, FILE, WEIGHTS, difference, fingerprint, identity, read
from .banked_teacher import BankedTeacher, check_losses
from .response_bank import Shard, shard_path
from .top_k import describe


@HOOKS.register_module()
class ResponseBankHook(Hook):
    """Open the run's bank of responses, or refuse one that belongs to another run.

    Raises:
        ValueError: Before training, if the model has no bank, a setting on which the responses
            depend differs, epochs are missing, or views are not keyed.
    """

    # Before the first batch is loaded.
    priority = 'HIGHEST'

    def before_train(self, runner) -> None:
        """Compare fingerprints and open the bank."""
        model: Any = unwrapped(runner)
        teacher = getattr(model, 'teacher', None)
        if not isinstance(teacher, BankedTeacher):
            raise ValueError(
                'ResponseBankHook found no bank: set model.bank=dict(path=…), or take the hook '
                'out of custom_hooks.'
            )
        check_losses(model.distiller.distill_losses, teacher.top_k)
        keyed = [hook for hook in runner.hooks if isinstance(hook, ExactResumeHook)]
        if not keyed or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'model.bank needs views that come again: add dict(type="mmrazor.ExactResumeHook") '
                'to custom_hooks and let train_cfg count epochs, by_epoch=True.'
            )
        banked = read(teacher.path)
        if banked is None:
            raise ValueError(
                f'model.bank.path="{teacher.path}" holds no bank ("{FILE}" is missing): make it '
                'with tools/bank_responses.py.'
            )
        loader = runner.train_dataloader
        now = fingerprint(runner.cfg, runner.seed, loader, teacher.top_k)
        if now[WEIGHTS] == ABSENT:
            runner.logger.warning(
                f'model.teacher_ckpt="{runner.cfg.model.teacher_ckpt}" is not here: that the bank '
                f'"{teacher.path}" was made with these weights is not checked.'
            )
            now[WEIGHTS] = banked.get(WEIGHTS)
        found = difference(banked, now)
        if found is not None:
            raise ValueError(
                f'The bank "{teacher.path}" belongs to another run: {found} Change it back, or '
                'make another bank with tools/bank_responses.py.'
            )
        rank, epochs = get_rank(), 0
        while epochs < runner.max_epochs and shard_path(teacher.path, epochs, rank).is_file():
            epochs += 1
        if epochs == 0 or (epochs < runner.max_epochs and not teacher.cycle):
            raise ValueError(
                f'The bank "{teacher.path}" holds {epochs} epochs of the {runner.max_epochs} of '
                'train_cfg.max_epochs: bank the others with tools/bank_responses.py, or let them '
                'come again with model.bank.cycle=True, which is another training run.'
            )
        teacher.open(epochs, len(loader), rank, identity(banked))
        if teacher.cycle:
            keyed[0].period = epochs
        soft = any(loss.mode == 'soft' for loss in model.distiller.distill_losses.values())
        if soft and teacher.top_k is not None:
            error = Shard(shard_path(teacher.path, 0, rank), teacher.run).meta['error']
            runner.logger.warning(describe(teacher.top_k, error))

    def after_train(self, runner) -> None:
        """Read the check of the last batch."""
        teacher: Any = unwrapped(runner).teacher
        teacher.close()
