"""Small training runs that end at a given point, in this process or in a forked one."""

import copy
import logging
import os
import signal
import socket
import sys
import traceback

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, METRICS
from mmengine.runner import FlexibleRunner, Runner
from mmpretrain.structures import DataSample
from models import NUM_CLASSES, algorithm_config
from torch.utils.data import Dataset

from mmcskd.compat import bridge_cpu_processes
from mmcskd.runs.safe_loading import read

CHECKPOINT = dict(type='mmrazor.AtomicCheckpointHook', interval=1, max_keep_ckpts=2)


@DATASETS.register_module()
class Pictures(Dataset):
    """Random images, always the same ones; ``noise`` adds what a random transform would."""

    metainfo = {'classes': tuple(map(str, range(NUM_CLASSES)))}

    def __init__(self, length=12, noise=False):
        self.length, self.noise = length, noise

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index))
        if self.noise:
            image = image + torch.rand(()) + np.random.rand()
        return dict(inputs=image, data_samples=DataSample().set_gt_label(index % NUM_CLASSES))


@HOOKS.register_module()
class At(Hook):
    """Calls a function with the runner once after an iteration of the given number, from 1."""

    priority = 'LOWEST'

    def __init__(self, iteration, act, when='after_train_iter'):
        self.iteration = iteration
        setattr(self, when, lambda runner, *_, **__: self._act(runner, act, when))

    def _act(self, runner, act, when):
        if runner.iter + (when == 'after_train_iter') == self.iteration:
            act(runner)


@METRICS.register_module()
class Score(BaseMetric):
    """The mean score of the right class: one number of the weights, which all their bits change."""

    def process(self, data_batch, data_samples):
        self.results += [
            sample['pred_score'][sample['gt_label']].double().sum().item()
            for sample in data_samples
        ]

    def compute_metrics(self, results):
        return dict(score=sum(results) / len(results))


class Lines(logging.Handler):
    """What a run logs."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.getMessage()))

    def listen(self, built):
        built.logger.addHandler(self)
        return built


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def runner(
    work_dir, *hooks, epochs=3, iterations=None, batch=2, dataset=None, model=None, checkpoint=None,
    ema=False, resume=False, accumulate=1, optim=None, sampler=None, workers=0, seed=3, log=100,
    allowed=('train_cfg.max_epochs', 'train_cfg.max_iters', 'model.teacher_ckpt'),
    validate=None, kind=None, **options,
):  # fmt: skip
    """A Runner over 12 images; 6 iterations an epoch."""
    by_epoch = iterations is None
    loop = dict(by_epoch=True, max_epochs=epochs) if by_epoch else dict(max_iters=iterations)
    optimizer = dict(type='AdamW', lr=0.01)
    config = dict(
        model=copy.deepcopy(model or algorithm_config(random_teacher=True)),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=workers,
            persistent_workers=workers > 0,
            dataset=dataset or dict(type='Pictures'),
            sampler=sampler
            or dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
        ),
        optim_wrapper={
            **dict(optimizer=optimizer, accumulative_counts=accumulate),
            **(optim or {}),
        },
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=20)],
        train_cfg=loop if by_epoch else dict(by_epoch=False, **loop),
        default_hooks=dict(
            runtime_info=dict(type='mmrazor.DeferredRuntimeInfoHook'),
            logger=dict(type='LoggerHook', interval=log),
            checkpoint=dict(CHECKPOINT, by_epoch=by_epoch, **(checkpoint or {})),
            data_check=dict(type='mmrazor.DataCheckHook'),
            exact_resume=dict(type='mmrazor.ExactResumeHook', allowed_changes=allowed),
            preemption=dict(type='mmrazor.PreemptionHook'),
            finite_loss=dict(type='mmrazor.FiniteLossHook'),
        ),
        custom_hooks=[
            dict(type='mmrazor.CKFHook'),
            *([dict(type='EMAHook', momentum=0.1, priority='ABOVE_NORMAL')] if ema else []),
            *hooks,
        ],
        randomness=dict(seed=seed),
        default_scope='mmpretrain',
        experiment_name=f'fault_{os.getpid()}_{next(_numbers)}',
        resume=resume,
    )
    if validate is not None:
        config['train_cfg']['val_interval'] = validate
        config.update(
            val_dataloader=dict(
                batch_size=4,
                dataset=dict(type='Pictures', length=4),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='Score'),
        )
    config.update(options)
    kind = kind or (FlexibleRunner if 'strategy' in options else Runner)
    if 'RANK' in os.environ:
        config['launcher'] = 'pytorch'
        cfg = Config(dict(launcher='pytorch', env_cfg=config.get('env_cfg', {})))
        bridge_cpu_processes(cfg)
        if kind is Runner:
            config['cfg'] = dict(model_wrapper_cfg=cfg.model_wrapper_cfg)
    return kind(**config)


_numbers = iter(range(10**9))
_said = {}  # by child, where it says what it raised


class ExitCode(int):
    """An exit code that shows in a failed assertion what the child raised."""

    raised = ''

    def __repr__(self):
        return f'{int(self)}{self.raised}'


def forked(function, *arguments, timeout=120):
    """Run in a child; returns its exit code as a shell would, 137 for SIGKILL."""
    return ended(start(function, *arguments, timeout=timeout))


def start(function, *arguments, timeout=120):
    """Fork a child that runs a function; returns its process number."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)  # a forked process has none of its parent's threads
            signal.alarm(timeout)  # a hang is a failure, not a hang
            log = os.open(os.devnull, os.O_WRONLY)
            os.dup2(log, 1)
            function(*arguments)
            code = 0
        except SystemExit as error:
            code = error.code
        except BaseException as error:
            traceback.print_exc(file=sys.stderr)
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f' ({type(error).__name__}: {error}, {where.filename}:{where.lineno})'
            os.write(writing, text.encode()[:4000])  # less than a pipe holds
        finally:
            os._exit(code)
    os.close(writing)
    _said[child] = reading
    return child


def ended(child):
    """Wait for a child; its exit code."""
    status = os.waitpid(child, 0)[1]
    code = ExitCode(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    reading = _said.pop(child)
    os.set_blocking(reading, False)  # a grandchild may hold the other end
    with open(reading, 'rb', buffering=0) as file:
        code.raised = (file.read(4000) or b'').decode(errors='replace')
    return code


def together(function, processes=2, timeout=60):
    """Fork the processes of one distributed run on the CPU; their exit codes."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]

    def join(rank):
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes),
            MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
        )  # fmt: skip
        function(rank)

    children = [start(join, rank, timeout=timeout) for rank in range(processes)]
    return [ended(child) for child in children]


def final(work_dir, name='epoch_3.pth'):
    return read(os.path.join(work_dir, name))


def same(a, b, path=''):
    """Whether two checkpoints agree bit for bit; else where they do not."""
    if isinstance(a, torch.Tensor):
        return None if a.dtype == b.dtype and torch.equal(a, b) else path
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f'{path}: {set(a) ^ set(b)}'
        pairs = [(a[key], b[key], f'{path}.{key}') for key in a]
    elif isinstance(a, (list, tuple)):
        pairs = [(x, y, f'{path}.{i}') for i, (x, y) in enumerate(zip(a, b))]
        if len(a) != len(b):
            return path
    else:
        return None if a == b else path
    return next((found for pair in pairs if (found := same(*pair))), None)
