"""A Runner whose build errors name the config key, and that loads completely or not at all."""

import copy
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, Tuple

from mmengine.config import Config
from mmengine.registry import RUNNERS, TRANSFORMS
from mmengine.runner import Runner

from ..checks.built import built
from ..checks.part import type_name
from ..runs.pretrained_init import complete_init
from ..runs.weights import complete_weights
from ..runs.work_dir_lock import folders, locked
from ..runs.wrapped_model import is_sharded, unwrapped
from .log import ShortLog, short
from .run_checks import check_loaded, check_run

# Methods of a Runner or of a FlexibleRunner's strategy that build one part, with its config key.
BUILDS = {
    'setup_env': 'env_cfg',
    'set_randomness': 'randomness',
    'build_log_processor': 'log_processor',
    'build_visualizer': 'visualizer',
    'build_strategy': 'strategy',
    'build_model': 'model',
    'register_default_hooks': 'default_hooks',
    'register_custom_hooks': 'custom_hooks',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
}


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, of its ``runner_type``.

    Args:
        cfg (mmengine.Config): The config.

    Returns:
        Runner: A part that it cannot build, now or later, is a ValueError with the config key.
            Errors of the run itself are raised unchanged.

    Raises:
        ValueError: If a part cannot be built, or another process trains in one of its folders.
            Nothing is written then.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint')
    out_dir = hook.get('out_dir') if isinstance(hook, dict) else None
    for folder, key in folders(str(cfg.get('work_dir')), out_dir):
        said = locked(folder, key)
        if said is not None:
            raise ValueError(said)
    return naming(RUNNERS.get(cfg.get('runner_type', 'Runner'))).from_cfg(cfg)


def naming(kind: type) -> Any:
    """A subclass of a runner whose build errors name the key.

    With ``load_from`` it loads every weight of the model, or of an algorithm's student, or refuses
    the file. It accepts what :func:`mmcskd.runs.weights.load_weights` does, as a student's own
    checkpoint for a run that distils it and the reverse. It does not start where
    :func:`mmcskd.app.run_checks.check_run` refuses the run. With a ``ProgressHook`` in the config,
    the log goes to its file alone.

    Args:
        kind (type): ``Runner``, ``FlexibleRunner`` or a class that derives from one.
    """

    class NamingRunner(kind):
        def __new__(cls, *args, **kwargs):
            runner = super().__new__(cls)
            _name_builds(runner)
            for phase in ('train', 'val', 'test'):
                name = f'build_{phase}_loop'
                setattr(runner, name, partial(_build_loop, runner, phase, getattr(runner, name)))
            return runner

        def build_logger(self, *args, **kwargs):
            logger = super().build_logger(*args, **kwargs)
            if _shows_progress(self.cfg):
                # `FileHandler` derives from it.
                kept = [each for each in logger.handlers if type(each) is not logging.StreamHandler]
                logger.handlers = kept
            details = Path(self._log_dir) / 'details.txt'
            if not any(isinstance(each, ShortLog) for each in logger.filters):
                logger.addFilter(ShortLog(details))
            logger.info(
                f'Environment, order of hooks and options of weights: {short(str(details))}'
            )
            return logger

        def _init_model_weights(self):
            with complete_init(unwrapped(self)):
                super()._init_model_weights()

        def dump_config(self):
            name = Path(self.cfg.filename or f'{self.timestamp}.py').name
            # A config in its own work directory stays as it was written; vis_data has it in full.
            if Path(self.cfg.filename or '').resolve() != (Path(self.work_dir) / name).resolve():
                super().dump_config()
            self.logger.info(f'Config: {short(os.path.join(self.work_dir, name))}')

        def scale_lr(self, optim_wrapper, auto_scale_lr=None):
            """By the batch of an optimizer step, of all that is accumulated."""
            if auto_scale_lr and auto_scale_lr.get('base_batch_size'):
                steps = getattr(optim_wrapper, '_accumulative_counts', 1)
                base = auto_scale_lr['base_batch_size'] / steps
                auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
            super().scale_lr(optim_wrapper, auto_scale_lr)

        def build_strategy(self, *args, **kwargs):
            strategy = super().build_strategy(*args, **kwargs)
            _name_builds(strategy)
            return strategy

        def call_hook(self, fn_name, **kwargs):
            if fn_name == 'after_load_checkpoint':
                check_loaded(self, kwargs['checkpoint'])
                if not self._resume:
                    _load_completely(self, kwargs['checkpoint'])
            if fn_name == 'before_run':
                check_run(self)
            super().call_hook(fn_name, **kwargs)

    return NamingRunner


def _shows_progress(cfg: Config) -> bool:
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return any(isinstance(hook, dict) and type_name(hook) == 'ProgressHook' for hook in hooks)


def _load_completely(runner: Runner, checkpoint: dict) -> None:
    """Give all weights of ``load_from`` the model's names; MMEngine would take those that fit."""
    # Where the model is in shards, all processes gather and the first one gets all weights.
    model = runner.model if is_sharded(runner.model) else unwrapped(runner)
    given = f'load_from="{runner._load_from}"'
    checkpoint['state_dict'] = complete_weights(
        unwrapped(runner), checkpoint, given, model.state_dict()
    )


def _name_builds(owner: Any) -> None:
    for name, key in BUILDS.items():
        if hasattr(owner, name):
            setattr(owner, name, partial(built, key, getattr(owner, name)))


def _build_loop(runner: Runner, phase: str, build: Callable, loop: Any) -> Any:
    """Add the loop's name to the keys of its dataloader and evaluator."""
    kind = type(runner)
    runner.build_dataloader = partial(_build_loader, f'{phase}_dataloader', kind.build_dataloader)
    evaluator = partial(kind.build_evaluator, runner)
    runner.build_evaluator = partial(built, f'{phase}_evaluator', evaluator)
    return built(f'{phase}_cfg', build, loop)


def _build_loader(key: str, build: Callable, loader: Any, **options) -> Any:
    try:
        return built(key, build, loader, **options)
    except ValueError:
        # The transform, if one of them is the cause.
        for place, transform in _transforms(loader['dataset'], f'{key}.dataset'):
            built(place, TRANSFORMS.build, copy.deepcopy(transform))
        raise


def _transforms(part: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """The transforms of a dataset and of wrapped datasets, with their config keys."""
    inner = part.items() if isinstance(part, dict) else enumerate(part)
    for name, value in inner:
        place = f'{key}.{name}'
        if isinstance(value, dict) and key.endswith('.pipeline'):
            yield place, value
        elif isinstance(value, (dict, list)) and (
            name in ('dataset', 'datasets', 'pipeline') or key.endswith('.datasets')
        ):
            yield from _transforms(value, place)
