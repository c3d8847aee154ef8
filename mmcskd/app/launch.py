"""Arguments, config and models for the scripts in tools/."""

import argparse
import copy
import os
from pathlib import Path
from typing import Any, Iterable, Optional

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import DefaultScope
from mmengine.runner import FlexibleRunner
from mmrazor.registry import MODELS
from torch import nn

from .. import loaded_teacher
from ..checks.config_check import STOCK_HOOKS, check_config, check_scope
from ..checks.suggest import nearest
from ..compat import bridge_cpu_processes, has_accelerator
from ..runs.atomic_checkpoint_hook import AtomicCheckpointHook
from ..runs.safe_loading import trust_checkpoints
from ..runs.weights import load_weights
from ..student.stock_model import named_model
from ..teacher.teacher_view import fit_view


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that the MM toolboxes share.

    Args:
        parser (argparse.ArgumentParser): Gets ``config``, ``--work-dir``, ``--cfg-options``,
            ``--launcher`` and ``--local-rank``.
    """
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config: key=value, key="[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started',
    )
    add_trust(parser)
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust``.

    Args:
        parser (argparse.ArgumentParser): Gets the argument.
    """
    parser.add_argument(
        '--trust',
        metavar='FILE',
        action='append',
        default=[],
        help='execute what lies in this checkpoint, named as where it is loaded; without it '
        'nothing but weights and plain values is read',
    )


def add_ema(parser: argparse.ArgumentParser) -> None:
    """Add ``--ema`` and ``--no-ema``: which of a checkpoint's weights to take.

    Args:
        parser (argparse.ArgumentParser): Gets the arguments, as ``ema``.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        default=None,
        help='the averaged weights, refused if there are none; default: them if there are any',
    )
    which.add_argument(
        '--no-ema', action='store_false', dest='ema', help='the raw weights, not averaged'
    )


def add_amp(parser: argparse.ArgumentParser) -> None:
    """Add ``--amp``, for :func:`load_config`.

    Args:
        parser (argparse.ArgumentParser): Gets the argument.
    """
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')


def load_config(args: argparse.Namespace, loaders: Iterable[str]) -> Config:
    """Read the config, merge the command line, check it and join the other processes.

    Args:
        args (argparse.Namespace): From a parser with :func:`add_arguments`.
        loaders (Iterable[str]): The dataloaders that will be used.

    Returns:
        mmengine.Config: The config for a Runner.

    Raises:
        ValueError: If the config or a dataset is missing.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    path = Path(args.config)
    if not path.is_file():
        there = path.parent.glob('*.py') if path.parent.is_dir() else []
        raise ValueError(
            f'CONFIG "{args.config}" is no file. ' + nearest(str(path), map(str, sorted(there)))
        )
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / path.stem)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if getattr(args, 'amp', False):
        if not isinstance(cfg.get('optim_wrapper'), dict):
            raise ValueError(
                f'--amp needs optim_wrapper=dict(optimizer=…) in the config, which is '
                f'{cfg.get("optim_wrapper")!r}.'
            )
        cfg.optim_wrapper.type = 'mmrazor.DeviceAmpOptimWrapper'
    # In MMEngine's default scope no classifier is found.
    cfg.setdefault('default_scope', 'mmpretrain')
    check_scope(cfg)
    trust_checkpoints(cfg.get('trusted_checkpoints', []))
    trust_checkpoints(getattr(args, 'trust', []))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        check_config(cfg, [name[: -len('_dataloader')] for name in loaders])
    for name in loaders:
        if cfg.get(name) is not None:
            _fill_loader(cfg[name], cfg.default_scope)
    leave_out_hooks(cfg)
    bridge_cpu_processes(cfg)
    return cfg


def leave_out_hooks(cfg: Config) -> None:
    """Let None take out every default hook; MMEngine knows it for its own ones alone.

    Args:
        cfg (mmengine.Config): Loses what is None.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name in hooks if hooks[name] is None and name not in STOCK_HOOKS]:
        hooks.pop(name)


def _fill_loader(loader: ConfigDict, scope: str) -> None:
    """Set the defaults of MMPretrain's tools; in other toolboxes image sizes differ in a batch."""
    collate = 'default_collate' if scope == 'mmpretrain' else 'pseudo_collate'
    loader.setdefault('collate_fn', dict(type=collate))
    loader.setdefault('pin_memory', has_accelerator())
    loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)


def choose_checkpoint(runner) -> None:
    """Choose the checkpoint to resume from, which a FlexibleRunner loads before its first hook.

    Args:
        runner (Runner | FlexibleRunner): Before it trains. For a Runner its hooks choose.

    Raises:
        ValueError: If there are checkpoints but no good one.
    """
    if isinstance(runner, FlexibleRunner):
        for hook in runner.hooks:
            if isinstance(hook, AtomicCheckpointHook):
                hook.before_run(runner)


def build_student(cfg: Config, checkpoint: str, ema: Optional[bool] = None) -> nn.Module:
    """Build the student of a config, with its weights; the config need not distil.

    Args:
        cfg (mmengine.Config): The training config.
        checkpoint (str): File or URL.
        ema (bool, optional): Whether to take averaged weights or, with False, the raw ones.
            Defaults to None: averaged ones if there are any.

    Returns:
        nn.Module: A classifier; the teacher is neither built nor loaded.

    Raises:
        ValueError: If the checkpoint lacks weights of the student, or those that ``ema`` asks for.
    """
    config = named_model(cfg.model.get('architecture', cfg.model), 'model.architecture')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(config)
        model.data_preprocessor = _preprocessor(cfg, model)
    load_weights(model, checkpoint, key='CHECKPOINT', averaged=ema)
    return model


def build_teacher(cfg: Config) -> nn.Module:
    """Build the teacher of a config, with its weights.

    Args:
        cfg (mmengine.Config): The training config.

    Returns:
        nn.Module: A classifier.

    Raises:
        ValueError: If the config has no teacher or the checkpoint lacks weights of it.
    """
    if 'teacher' not in cfg.model:
        raise ValueError(
            f'CONFIG "{cfg.filename}" distils nothing, model.teacher is not set: give one that '
            'does, such as configs/cskd_deit-s_regnety.py.'
        )
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model, _ = loaded_teacher.build_teacher(cfg.model.teacher, cfg.model.get('teacher_ckpt'))
        preprocessor = _preprocessor(cfg, model)
    fit_view(model, preprocessor, cfg.model.get('teacher_view'))
    model.data_preprocessor = preprocessor
    return model


def _preprocessor(cfg: Config, model: Any) -> nn.Module:
    """That of the batches of a run; the model's own if the config has none."""
    config = cfg.model.get('data_preprocessor', cfg.get('data_preprocessor'))
    if config is None:
        return model.data_preprocessor
    # A copy: RandomBatchAugment appends to its lists of the config.
    return MODELS.build({'type': 'mmpretrain.ClsDataPreprocessor', **copy.deepcopy(config)})
