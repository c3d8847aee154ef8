"""Runs of the tools in small: in this process by their ``main``, or in processes of their own."""

import contextlib
import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / 'tools'
DEMO = ROOT / 'demo'
LABORATORY = ROOT / '.dev_scripts'

SMALL = """
_base_ = '{config}'
train_dataloader = dict(batch_size={batch}, dataset=dict(length=48))
val_dataloader = dict(dataset=dict(length=40))
test_dataloader = dict(dataset=dict(length=40))
train_cfg = dict(max_epochs=2, val_interval=1)
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(max_keep_ckpts=5, save_best=None))
"""

# No random augmentation: one process and two see the same images.
STILL = """
train_pipeline = [dict(type='PackInputs')]
train_dataloader['dataset']['pipeline'] = train_pipeline
model = dict(teacher_ckpt='{teacher}')
custom_imports = dict(imports=['mmcskd', 'keep_losses'], allow_failed_imports=False)
custom_hooks = [dict(type='mmrazor.CKFHook', schedule='cos'), dict(type='KeepLosses')]
"""

KEEP_LOSSES = """
import json, os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KeepLosses(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = {key: float(value) for key, value in outputs.items()}
        with open(os.path.join(runner.work_dir, f'losses_{runner.rank}.jsonl'), 'a') as file:
            file.write(json.dumps(values) + '\\n')
"""


def load_tool(name, folder=TOOLS):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, folder / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(tool, *arguments, cwd, fails=False, folder=TOOLS):
    """Call a script's ``main`` in this process, in a folder that is searched for modules as well.

    Args:
        tool (str | module): The script, as ``'train'``, or as it is loaded already.
        *arguments: Its command line.
        cwd (Path): The folder.
        fails (bool): Whether it is to raise. Defaults to False.
        folder (Path): Where the script lies. Defaults to tools/.

    Returns:
        str: What it printed; if it failed, with the traceback at the end.
    """
    printed, before, path = io.StringIO(), os.getcwd(), list(sys.path)
    sys.path[:0] = [str(cwd), str(folder)]
    os.chdir(cwd)
    forget_runs()
    raised = None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                module = load_tool(tool, folder) if isinstance(tool, str) else tool
                module.main([str(each) for each in arguments])
            except Exception as error:
                if not fails:
                    raise
                raised = error
                traceback.print_exc()
    finally:
        os.chdir(before)
        sys.path[:] = path
        forget_runs()
    assert (raised is not None) == fails, printed.getvalue()[-3000:]
    return printed.getvalue()


def forget_runs():
    """MMEngine keeps loggers and scopes by a run's name, which another run may have as well."""
    for manager in (MMLogger, MessageHub, Visualizer, DefaultScope):
        manager._instance_dict.clear()


def environment(*folders):
    """Variables by which scripts, shell scripts and torchrun find this Python and the package."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = str(server.getsockname()[1])
    return dict(
        os.environ,
        PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        PYTHON=sys.executable,
        PYTHONWARNINGS='ignore',
        PYTHONPATH=':'.join(map(str, (*folders, ROOT))),
        PORT=port,
    )


def run(*command, cwd, fails=False):
    """Run a command in a process of its own; returns what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        timeout=900,
    )
    # A traceback first: a reader of CI may see the beginning alone.
    assert (done.returncode != 0) == fails, done.stderr[-3000:] + done.stdout[-3000:]
    return done.stdout + done.stderr


def losses(work_dir):
    """Of each iteration, the mean over the processes."""
    ranks = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(work_dir.glob('losses_*.jsonl'))
    ]
    return len(ranks), [
        {key: np.mean([step[key] for step in steps]) for key in steps[0]} for steps in zip(*ranks)
    ]


def prepare(place):
    """A trained teacher in a directory and the configs that use it.

    Args:
        place (Path): The directory.

    Returns:
        Path: The same.
    """
    demo = ROOT / 'configs' / 'demo'
    (place / 'teacher.py').write_text(SMALL.format(config=demo / 'teacher_resnet18.py', batch=8))
    (place / 'keep_losses.py').write_text(KEEP_LOSSES)
    for name, batch in (('one', 8), ('two', 4)):
        text = SMALL.format(config=demo / 'cskd_vit_resnet18.py', batch=batch)
        still = STILL.format(teacher=place / 'teacher' / 'epoch_2.pth')
        (place / f'{name}.py').write_text(text + still)
    log = call('train', 'teacher.py', '--work-dir', 'teacher', cwd=place)
    assert 'accuracy/top1' in log
    return place
