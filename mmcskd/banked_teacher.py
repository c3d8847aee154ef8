"""A teacher that reads its answers from a bank."""

from pathlib import Path
from typing import Any, Callable, Optional, Tuple

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.registry import TASK_UTILS
from torch import Tensor, nn

from .response_bank import BankedBatch, Shard, fingerprint_of, shard_path
from .typed import typed


class BankedResponse:
    """The responses to one batch, as far as hard labels depend on them.

    Args:
        batch (BankedBatch): What the bank holds of it.
        grid (tuple[int, int]): H × W that it was banked on.
        num_classes (int): C.
        device (torch.device): Where labels are wanted.
    """

    def __init__(
        self, batch: BankedBatch, grid: Tuple[int, int], num_classes: int, device: torch.device
    ) -> None:
        self._batch = batch
        self._device = device
        self.grid = grid
        self.num_classes = num_classes

    def fused_classes(self, fusion_weight: float) -> Tensor:
        """argmax of λ·d + (1 − λ)·g, (N, H, W), int64."""
        return self._batch.classes(fusion_weight).to(self._device, non_blocking=True)

    def global_classes(self) -> Tensor:
        """argmax of g, (N,), int64."""
        best = torch.from_numpy(self._batch.best.astype('int64'))
        return best.to(self._device, non_blocking=True)


class BankedTeacher(BaseModel):
    """Answers with what a bank holds for the batch of the running iteration.

    The batch is checked against the images that were banked; on a device other than the CPU the
    result is looked at one iteration later, so that nothing waits.

    Args:
        path (str): Folder of the bank, of ``tools/bank_responses.py``.
        cycle (bool): Whether to begin anew with the first epoch where the bank's end: another
            training run than one with as many epochs of views. Defaults to False.

    Raises:
        ValueError: If the folder holds no bank.
    """

    def __init__(self, path: str, cycle: bool = False) -> None:
        super().__init__()
        if not Path(path).is_dir():
            raise ValueError(
                f'model.bank.path="{path}" is no folder: make the bank with '
                'tools/bank_responses.py, or correct the path.'
            )
        self.path = Path(path)
        self.cycle = cycle
        self.epochs: Optional[int] = None  # known to the hook
        self.rank = 0
        self.length = 0
        self._shard: Optional[Shard] = None
        self._epoch: Optional[int] = None
        self._pending: Optional[Callable[[], None]] = None

    def open(self, epochs: int, length: int, rank: int) -> None:
        """Say what is asked for; see :class:`~mmcskd.ResponseBankHook`.

        Args:
            epochs (int): That the bank holds, from the first on.
            length (int): Batches of an epoch.
            rank (int): Of the process.
        """
        self.epochs, self.length, self.rank = epochs, length, rank

    def forward(
        self, inputs: Tensor, data_samples: Optional[list] = None, mode: str = 'tensor'
    ) -> BankedResponse:
        """The responses to the running iteration's batch.

        Args:
            inputs (Tensor): (N, 3, height, width), preprocessed for the student.
            data_samples (list, optional): Not looked at.
            mode (str): ``'tensor'``.

        Returns:
            BankedResponse: In place of d and g.

        Raises:
            ValueError: If these are other images than those that were banked, or a shard is
                missing or damaged.
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
        if epoch != self._epoch:
            self._shard, self._epoch = Shard(shard_path(self.path, epoch, self.rank)), epoch
        batch = self._shard[index]
        self._check(inputs, batch.checksum, epoch, index)
        meta = self._shard.meta
        return BankedResponse(batch, tuple(meta['grid']), meta['num_classes'], inputs.device)

    def _check(self, inputs: Tensor, expected: int, epoch: int, index: int) -> None:
        found = fingerprint_of(inputs)
        if inputs.device.type != 'cpu':
            found = found.to('cpu', non_blocking=True)
            event = torch.cuda.Event() if inputs.is_cuda else None
            if event is not None:
                event.record()

        def compare() -> None:
            if inputs.device.type == 'cuda':
                event.synchronize()
            if int(found) != expected:
                raise ValueError(
                    f'The images of batch {index} in epoch {epoch} are not those of the bank '
                    f'"{self.path}": its responses belong to other views. Were dataset files '
                    'changed, or is something random that no seed reaches? Make the bank anew '
                    'with tools/bank_responses.py.'
                )

        earlier, self._pending = self._pending, compare
        if inputs.device.type == 'cpu':
            earlier, self._pending = compare, None
        if earlier is not None:
            earlier()


@TASK_UTILS.register_module()
class BankedResponseRecorder(BaseRecorder):
    """Record what a :class:`BankedTeacher` answers, in place of a ``SpatialResponseRecorder``.

    A record is a pair of the same answer, for the losses that take d and g. Put in by
    :class:`~mmcskd.FrozenTeacherDistill` itself where ``bank`` is set.
    """

    @typed
    def __init__(self, source: Optional[str] = None) -> None:
        super().__init__(source or '')
        self._recording = False

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the teacher.

        Args:
            model (nn.Module): A :class:`BankedTeacher`.
        """
        model.register_forward_hook(self._record)

    def _record(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._recording:
            self.data_buffer.append((outputs, outputs))

    def __enter__(self) -> None:
        super().__enter__()
        self._recording = True

    def __exit__(self, exc_type, exc_value, traceback) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        self._recording = False
