"""The config key behind what fails while MMEngine builds or feeds a run."""

import traceback
from contextlib import contextmanager
from pathlib import Path

PACKAGE = str(Path(__file__).parents[1])
# From the function in which something failed to the keys that it reads; the innermost one counts
# that stands last here.
KEYS = {
    'setup_env': 'env_cfg',
    'set_randomness': 'randomness',
    'build_log_processor': 'log_processor',
    'build_visualizer': 'visualizer',
    'register_hooks': 'default_hooks or custom_hooks',
    'before_run': 'default_hooks or custom_hooks',
    'build_model': 'model',
    '_init_model_weights': 'model',
    'build_optim_wrapper': 'optim_wrapper',
    'build_param_scheduler': 'param_scheduler',
    'build_train_loop': 'train_dataloader or train_cfg',
    'build_val_loop': 'val_dataloader, val_evaluator or val_cfg',
    'build_test_loop': 'test_dataloader, test_evaluator or test_cfg',
    'build_evaluator': 'val_evaluator or test_evaluator',
    'evaluate': 'val_evaluator or test_evaluator',
    'prepare_data': 'pipeline of the dataset of train_dataloader, val_dataloader or test_dataloader',
}


@contextmanager
def build_errors_named():
    """Raise what fails inside a build as a ValueError that names the key of the config.

    Errors of this package name theirs, and those of the training itself stay as they are.

    Raises:
        ValueError: From the error that it stands for.
    """
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = isinstance(error, (ValueError, TypeError)) and frames[-1].filename.startswith(
            PACKAGE
        )
        # MMEngine raises some errors anew, from what it was.
        cause = getattr(error.__cause__ or error.__context__, '__traceback__', None)
        names = {frame.name for frame in (*frames, *traceback.extract_tb(cause))}
        keys = [key for name, key in KEYS.items() if name in names]
        if ours or not keys:
            raise
        raise ValueError(
            f'{keys[-1]}: {type(error).__name__}: {error} '
            f'({frames[-1].filename}:{frames[-1].lineno}).'
        ) from error
