"""A teacher that reads its responses from a bank."""

import copy
from pathlib import Path
from typing import Callable, Mapping, Optional, Tuple

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..checks.part import check_keys, type_name
from ..losses.response_loss import ResponseLoss
from ..runs.run_fingerprint import content_digest
from .bank_fingerprint import FILE
from .banked_response import BankedResponse
from .image_checksum import batch_checksum, image_checksums
from .response_bank import Shard, shard_path
from .top_k import check_top_k


class BankedTeacher(BaseModel):
    """Gives the responses of a bank to the batch of the current iteration.

    The images of the batch must be those of the bank. On CUDA the result of this check is read one
    iteration later, so that the host does not wait, that of the last iteration in :meth:`close`.

    Args:
        path (str): Folder of the bank, of ``tools/bank_responses.py``.
        cycle (bool): Whether to start again with the first epoch where the bank ends: another
            training run than one with as many epochs of views. Defaults to False.
        top_k (int, optional): How many classes of each response the bank keeps for soft targets,
            which are approximate. Defaults to None: hard labels alone, exactly.

    Raises:
        ValueError: If the folder holds no bank.
    """

    def __init__(self, path: str, cycle: bool = False, top_k: Optional[int] = None) -> None:
        super().__init__()
        check_top_k(top_k)
        if not Path(path).is_dir():
            raise ValueError(
                f'model.bank.path="{path}" is no folder: make the bank with '
                'tools/bank_responses.py, or correct the path.'
            )
        self.path = Path(path)
        self.content = f'in the bank {(content_digest(self.path / FILE) or "")[:12]}'
        self.cycle = cycle
        self.top_k = top_k
        self.epochs: Optional[int] = None  # set by the hook
        self.rank = 0
        self.length = 0
        self.run = ''
        self._shard: Optional[Shard] = None
        self._epoch: Optional[int] = None
        self._pending: Optional[Callable[[], None]] = None

    def open(self, epochs: int, length: int, rank: int, run: str) -> None:
        """Set the epochs in the bank, the batches of an epoch, this process's rank and the run."""
        self.epochs, self.length, self.rank, self.run = epochs, length, rank, run

    def forward(
        self, inputs: Tensor, data_samples: Optional[list] = None, mode: str = 'tensor'
    ) -> Tuple[BankedResponse, BankedResponse]:
        """The responses to the running iteration's batch.

        Args:
            inputs (Tensor): (N, 3, height, width), preprocessed for the student.
            data_samples (list, optional): Ignored.
            mode (str): ``'tensor'``.

        Returns:
            tuple[BankedResponse, BankedResponse]: One answer twice, in place of d and of g.

        Raises:
            ValueError: If the images are not those of the bank, or a shard is missing or damaged.
        """
        if self.epochs is None:
            raise ValueError(
                'model.bank needs dict(type="mmrazor.ResponseBankHook") in custom_hooks, which '
                'checks that the bank belongs to this run.'
            )
        iteration = MessageHub.get_current_instance().get_info('iter')
        epoch, index = divmod(iteration, self.length)
        if self.cycle:
            epoch %= self.epochs
        if self._shard is None or epoch != self._epoch:
            path = shard_path(self.path, epoch, self.rank)
            self._shard, self._epoch = Shard(path, self.run), epoch
        batch = self._shard[index]
        self._check(inputs, batch.checksum, epoch, index)
        meta = self._shard.meta
        response = BankedResponse(
            batch,
            banked_grid=tuple(meta['grid']),
            grid=tuple(meta['teacher_grid']),
            num_classes=meta['num_classes'],
            device=inputs.device,
        )
        return response, response

    def close(self) -> None:
        """Finish the check of the last batch, which raises as :meth:`forward` does."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending()

    def _check(self, inputs: Tensor, expected: int, epoch: int, index: int) -> None:
        found, event = image_checksums(inputs), None
        if inputs.is_cuda:
            found, event = found.to('cpu', non_blocking=True), torch.cuda.Event()
            event.record()

        def compare() -> None:
            if event is not None:
                event.synchronize()
            if batch_checksum(found) != expected:
                raise ValueError(
                    f'The images of batch {index} in epoch {epoch} are not those of the bank '
                    f'"{self.path}": its responses belong to other views. Were dataset files '
                    'changed, or is something random that no seed reaches? Make the bank anew '
                    'with tools/bank_responses.py.'
                )

        if event is None:
            compare()
            return
        self.close()
        self._pending = compare


@MODELS.register_module()
def read_bank(bank: dict, distiller: dict) -> Tuple[BankedTeacher, dict]:
    """The teacher and the distiller of a run with ``model.bank``.

    Args:
        bank (dict): ``model.bank``, arguments of :class:`BankedTeacher`.
        distiller (dict): ``model.distiller``.

    Returns:
        tuple[BankedTeacher, dict]: The teacher, and the distiller with recorders that record what
        it returns.

    Raises:
        ValueError: For unknown keys, values of another type, or a recorder whose records a bank
            does not hold.
    """
    check_keys(bank, ('path', 'cycle', 'top_k'), 'model.bank')
    if not isinstance(bank.get('path'), str) or not isinstance(bank.get('cycle', False), bool):
        raise ValueError(
            f'model.bank is {bank!r}, expected dict(path="…"), and cycle=True or False.'
        )
    distiller = copy.deepcopy(distiller)
    for name, recorder in (distiller.get('teacher_recorders') or {}).items():
        if type_name(recorder) != 'SpatialResponse':
            raise ValueError(
                f'model.bank holds no records of teacher_recorders.{name}, of type '
                f'"{recorder.get("type")}": leave it out, or take model.bank out.'
            )
        if recorder.get('keep_map'):
            raise ValueError(
                f'teacher_recorders.{name}.keep_map is set, but model.bank holds no feature maps: '
                'leave it out together with the loss that takes them, or take model.bank out.'
            )
        distiller['teacher_recorders'][name] = dict(type='ModuleOutputs', source='')
    return BankedTeacher(**bank), distiller


def check_losses(losses: Mapping[str, nn.Module], top_k: Optional[int]) -> None:
    """Refuse losses that need more of the responses than a bank keeps.

    Args:
        losses (Mapping[str, nn.Module]): Of the distiller, by name.
        top_k (int, optional): Of the bank.

    Raises:
        ValueError: Naming the loss and the key to change.
    """
    for name, loss in losses.items():
        key = f'model.distiller.distill_losses.{name}'
        if not isinstance(loss, ResponseLoss):
            raise ValueError(
                f'{key} is a {type(loss).__name__}, which a bank has no responses for: leave it '
                'out, or take model.bank out.'
            )
        if loss.mode == 'soft' and top_k is None:
            raise ValueError(
                f'{key}.mode is "soft", which needs more than the hard labels that this bank '
                'keeps: set model.bank.top_k, how many classes to keep of each response, for an '
                'approximation, and make the bank with it; or set the mode to "hard".'
            )
