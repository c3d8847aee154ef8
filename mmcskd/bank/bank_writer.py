"""Run a config's data and teacher, without the student, and store the responses."""

import json
from pathlib import Path
from typing import Any, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from tqdm import tqdm

from ..algorithm import FrozenTeacherDistill
from ..checks.class_names import check_run_classes
from ..losses.cskd_loss import CSKDLoss
from ..losses.deit_loss import DeiTLoss
from ..response import TensorResponse
from ..runs.atomic_file import AtomicBackend
from ..runs.exact_resume_hook import iteration_key, seed_iteration
from ..runs.keyed_views import key_views
from ..runs.wrapped_model import unwrapped
from ..teacher.spatial_response_recorder import SpatialResponseRecorder
from .bank_fingerprint import FILE, difference, fingerprint, identity, read
from .banked_teacher import check_losses
from .condense import condense
from .image_checksum import batch_checksum, image_checksums
from .response_bank import ShardWriter, shard_path, whole_shard
from .top_k import TopK, check_top_k, mean_error


class BankWriter:
    """Store the responses to every view of a run.

    Args:
        cfg (mmengine.Config): A training config that distils; of its ``model.bank`` only ``top_k``
            is used.
        root (str): Folder of the bank. An unfinished bank is continued.

    Raises:
        ValueError: If the folder holds another run's bank, the run's views are not repeatable, or
            its losses need more than hard labels.
    """

    def __init__(self, cfg: Config, root: str) -> None:
        if (cfg.get('randomness') or {}).get('seed') is None:
            raise ValueError(
                'A bank belongs to one sequence of views: set randomness=dict(seed=…) in the '
                'config.'
            )
        if cfg.get('runner_type') not in (None, 'Runner'):
            raise ValueError(
                f'runner_type="{cfg.runner_type}" shards the student: bank with a config of '
                'DistributedDataParallel, without runner_type and strategy.'
            )
        if not cfg.model.get('teacher_ckpt'):
            raise ValueError(
                'The responses of a random teacher cannot be known again: set model.teacher_ckpt.'
            )
        top_k = (cfg.model.pop('bank', None) or {}).get('top_k')
        check_top_k(top_k)
        self.root = Path(root)
        # The runner completes the config.
        runner = Runner.from_cfg(cfg)
        algorithm = unwrapped(runner)
        if not isinstance(algorithm, FrozenTeacherDistill):
            raise ValueError(
                f'CONFIG has a model of type "{type(algorithm).__name__}", expected '
                '"FrozenTeacherDistill": give a config that distils.'
            )
        self.algorithm = algorithm.train()
        self.recorder = _only_recorder(algorithm)
        losses = algorithm.distiller.distill_losses
        check_losses(losses, top_k)
        self.top = None if top_k is None else TopK(top_k, *_temperatures(losses))
        self.error: Optional[dict] = None
        self.seed = runner.seed
        self.loader = runner.build_dataloader(runner._train_dataloader, seed=self.seed)
        datasets = {'train_dataloader.dataset': self.loader.dataset}
        for warning in check_run_classes(algorithm, datasets):
            runner.logger.warning(warning)
        self._epoch = 0
        if not key_views(self.loader, self.seed, lambda: self._epoch):
            raise ValueError(
                'train_dataloader.batch_sampler has no sampler, so views have no place to be known '
                'by: use train_dataloader.sampler.'
            )
        self.context = runner.build_optim_wrapper(runner.optim_wrapper).optim_context
        self.wrapped = runner.model
        now = fingerprint(runner.cfg, self.seed, self.loader, top_k)
        self._check_fingerprint(now)
        self.run = identity(now)
        self._grid: Optional[Tuple[int, int]] = None
        self._teacher_grid: Any = None

    def _check_fingerprint(self, now: dict) -> None:
        banked = read(self.root)
        found = None if banked is None else difference(banked, now)
        if found is not None:
            raise ValueError(
                f'The bank "{self.root}" belongs to another run: {found} Name another folder with '
                '--out.'
            )
        if is_main_process() and banked is None:
            text = json.dumps(now, indent=1, sort_keys=True)
            AtomicBackend().put_text(text, self.root / FILE)
        barrier()

    def write(self, begin: int, end: int) -> int:
        """Store the responses of some epochs; complete shards are kept.

        Afterwards ``error`` holds the error of soft targets over this process's shards of these
        epochs, if there is a ``top_k``; see :meth:`~mmcskd.bank.top_k.TopK.error`.

        Args:
            begin (int): The first epoch, from 0.
            end (int): The epoch behind the last.

        Returns:
            int: Bytes of this process's shards of these epochs.
        """
        rank, size = get_rank(), 0
        todo: List[Tuple[int, Path]] = []
        errors: List[Any] = []
        for epoch in range(begin, end):
            path = shard_path(self.root, epoch, rank)
            shard = whole_shard(path, self.run)
            if shard is None or len(shard) != len(self.loader):
                todo.append((epoch, path))
            else:
                size += path.stat().st_size
                errors.append(shard.meta.get('error'))
        steps = tqdm(
            total=len(todo) * len(self.loader), desc='batches', disable=not is_main_process()
        )
        with steps:
            for epoch, path in todo:
                written, error = self._write_epoch(epoch, path, steps)
                size += written
                errors.append(error)
        self.error = None if self.top is None else mean_error(errors)
        barrier()
        return size

    def _write_epoch(self, epoch: int, path: Path, steps: tqdm) -> Tuple[int, Optional[dict]]:
        self._epoch = epoch
        first = epoch * len(self.loader)
        writer: Any = None
        errors = []
        seed_iteration(iteration_key(self.seed, first, 'data'))
        # As in ExactResumeHook: draws for the workers do not change other random numbers.
        self.loader.generator = torch.Generator().manual_seed(
            iteration_key(self.seed, 0, 'loader') >> 1
        )
        for index, batch in enumerate(self.loader):
            seed_iteration(iteration_key(self.seed, first + index, 'model'))
            images = self.algorithm.data_preprocessor(batch, training=True)['inputs']
            teacher = self._respond(images)
            responses = teacher.spatial_response, teacher.global_response
            if writer is None:
                meta = dict(
                    grid=list(teacher.grid),
                    teacher_grid=list(self._teacher_grid),
                    num_classes=teacher.num_classes,
                    run=self.run,
                )
                writer = ShardWriter(path, meta)
            checksum = batch_checksum(image_checksums(images))
            banked = condense(*responses, checksum, self.top)
            writer.add(banked)
            if self.top is not None:
                errors.append(self.top.error(banked, *responses))
            seed_iteration(iteration_key(self.seed, first + index + 1, 'data'))
            steps.update()
        if self.top is not None:
            writer.meta['error'] = mean_error(errors)
        return writer.write(), writer.meta.get('error')

    @torch.no_grad()
    def _respond(self, images: Tensor) -> TensorResponse:
        """The teacher's response on the grid of the losses."""
        with self.context(self.wrapped):
            self.algorithm.respond(images)
        teacher = TensorResponse(*self.recorder.get_record_data())
        self.recorder.reset_data_buffer()
        if self._grid is None:
            self._teacher_grid = teacher.grid
            self._grid = self._grid_of_losses(images, teacher)
        return teacher.on(self._grid)

    def _grid_of_losses(self, images: Tensor, teacher: TensorResponse) -> Tuple[int, int]:
        """The grid of the comparison, from one pass of the student."""
        distiller = self.algorithm.distiller
        student = self.algorithm.student.eval()
        with self.context(self.wrapped), distiller.student_recorders:
            student(images[:1], mode='tensor')
        grids = set()
        for name, loss in distiller.distill_losses.items():
            if isinstance(loss, CSKDLoss):
                mapping = distiller.loss_forward_mappings[name]['student_response']
                grids.add(loss.common_grid(distiller.get_record(**mapping), teacher))
        for recorder in distiller.student_recorders.recorders.values():
            recorder.reset_data_buffer()
        student.train()
        if len(grids) > 1:
            raise ValueError(
                f'The CSKD losses compare on several grids, {sorted(grids)}; a bank keeps one: set '
                'CSKDLoss.grid alike.'
            )
        return grids.pop() if grids else teacher.grid


def _only_recorder(algorithm: FrozenTeacherDistill) -> SpatialResponseRecorder:
    recorders = list(algorithm.distiller.teacher_recorders.recorders.values())
    if len(recorders) != 1 or not isinstance(recorders[0], SpatialResponseRecorder):
        raise ValueError(
            'A bank keeps the records of one SpatialResponse: leave no other in '
            'model.distiller.teacher_recorders.'
        )
    return recorders[0]


def _temperatures(losses: Mapping[str, nn.Module]) -> List[float]:
    """Temperatures of the CSKD losses and of the DeiT losses."""
    found = []
    for kind in (CSKDLoss, DeiTLoss):
        each = {loss.temperature for loss in losses.values() if isinstance(loss, kind)} or {1.0}
        if len(each) > 1:
            raise ValueError(
                f'The losses of type {kind.__name__} have several temperatures, {sorted(each)}; a '
                f'bank with model.bank.top_k keeps one: set {kind.__name__}.temperature alike.'
            )
        found.append(each.pop())
    return found
