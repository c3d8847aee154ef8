"""Nothing in a training step waits for the device."""

import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tool_runs import ROOT
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmcskd.runs.safe_loading import read

# What asks a device for a number, or for a shape that depends on numbers.
WAITS = {'_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'unique_dim', 'equal'}
# Numbers that lie on the CPU whatever the device, and what is read there without waiting.
ON_CPU = (
    ('torch/optim/', None),
    ('mmengine/model/utils.py', 'stack_batch'),  # of shapes
    ('mmpretrain/structures/utils.py', 'batch_label_to_onehot'),  # one_hot looks at them on CPUs
    ('mmengine/model/averaged_model.py', 'update_parameters'),  # of its count of steps
    ('mmcskd/runs/finite_loss_hook.py', '_read'),
    ('mmcskd/bank/banked_teacher.py', 'compare'),
    ('mmcskd/bank/image_checksum.py', '_of_cpu'),  # of images that are there
)


class Waits(TorchDispatchMode):
    """Collects who would wait for the device, where one may not."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        boolean = func.overloadpacket.__name__ == 'index' and any(
            torch.is_tensor(part) and part.dtype == torch.bool for part in args[1]
        )
        if (func.overloadpacket.__name__ in WAITS or boolean) and not _on_cpu():
            self.found.append(_caller(func))
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    """Adds who fetches a whole tensor, which on CPUs is no operation."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy) and not _on_cpu():
            self.found.append(_caller(func.__name__))
        return func(*args, **(kwargs or {}))


def _frames():
    frame = sys._getframe(2)
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno
        frame = frame.f_back


def _on_cpu():
    return any(
        path in file and function in (None, name)
        for file, name, _ in _frames()
        for path, function in ON_CPU
    )


def _caller(func):
    chain = [f'{name} ({file}:{line})' for file, name, line in _frames() if '/torch/' not in file]
    return f'{func} in ' + ' < '.join(each for each in chain if __file__ not in each)


@HOOKS.register_module()
class WatchSteps(Hook):
    """Watches whole iterations, hooks and all; not the first, in which things are checked."""

    priority = 0

    def __init__(self, modes, last=False):
        self.modes, self.last = modes, last
        self.priority = 1000 if last else 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.last and runner.iter > 0:
            for mode in self.modes:
                mode.__enter__()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.last and runner.iter > 0:
            for mode in reversed(self.modes):
                mode.__exit__(None, None, None)


def config(folder, **changes):
    """The demo in small; hooks, mixing and precision of the ImageNet configs, logging rarely."""
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / 'configs/demo/cskd_vit_resnet18.py')
    teacher = MODELS.build(cfg.model.teacher)
    teacher.init_weights()
    torch.save(teacher.state_dict(), folder / 'teacher.pth')
    shipped = Config.fromfile(ROOT / 'configs/cskd_deit-s_regnety.py')
    cfg.model.teacher_ckpt = str(folder / 'teacher.pth')
    cfg.model.architecture.head.loss = dict(type='CrossEntropyLoss', use_soft=True, loss_weight=0.5)
    augments = shipped.data_preprocessor.batch_augments
    cfg.model.data_preprocessor = dict(
        cfg.data_preprocessor, batch_augments=augments, _scope_='mmpretrain'
    )
    cfg.optim_wrapper = dict(
        shipped.optim_wrapper, optimizer=cfg.optim_wrapper.optimizer, paramwise_cfg=None
    )
    cfg.model.teacher_view = dict(mean=[127.5] * 3, std=[127.5] * 3)
    cfg.train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.length = 48
    for name in ('val', 'test'):
        cfg[f'{name}_dataloader'] = cfg[f'{name}_evaluator'] = cfg[f'{name}_cfg'] = None
    cfg.default_hooks = dict(
        shipped.default_hooks,
        logger=dict(type='LoggerHook', interval=100),
        checkpoint=dict(type='mmrazor.AtomicCheckpointHook', save_best=None),
    )
    cfg.custom_hooks = shipped.custom_hooks
    cfg.train_cfg.max_epochs, cfg.param_scheduler = 1, None
    cfg.work_dir, cfg.experiment_name = str(folder), folder.name
    cfg.merge_from_dict(changes)
    return cfg


def run(cfg):
    """Who waited in which place, those aside who are to: the hook that reads what is logged."""
    watch = Waits()
    modes = [watch, Reads(watch.found)]
    runner = Runner.from_cfg(cfg)
    runner.register_hook(WatchSteps(modes), 0)
    runner.register_hook(WatchSteps(modes, last=True), 100)
    runner.train()
    logs = [each for each in watch.found if 'deferred_runtime_info_hook.py' in each]
    return [each for each in watch.found if each not in logs], logs, runner


@pytest.mark.parametrize('mode', ['hard', 'soft'])
def test_nothing_waits(tmp_path, mode):
    losses = {f'model.distiller.distill_losses.loss_{name}.mode': mode for name in ('cskd', 'deit')}
    found, logs, runner = run(config(tmp_path, **losses))
    assert found == []
    assert len(logs) == 1  # of all six iterations, in the last
    history = runner.message_hub.get_scalar('train/loss_cskd')._log_history
    assert len(history) == 6 and len(set(history)) == 6


def test_a_wait_is_seen(tmp_path):
    """MMEngine's own hook asks for every loss in every iteration."""
    cfg = config(tmp_path)
    cfg.default_hooks.runtime_info = dict(type='RuntimeInfoHook')
    found, _, _ = run(cfg)
    assert len(found) == 5 * 5
    assert all('_local_scalar_dense' in each and 'message_hub.py' in each for each in found)


def test_the_average_counts_on_the_cpu():
    elsewhere = torch.nn.Linear(2, 2, device='meta')
    assert ExponentialMovingAverage(elsewhere).steps.device.type == 'cpu'


def test_same_log(tmp_path):
    """Losses of each iteration, and in a checkpoint from the middle, as with the stock hook."""
    logged = []
    for kind in ('RuntimeInfoHook', 'mmrazor.DeferredRuntimeInfoHook'):
        folder = tmp_path / kind
        folder.mkdir()
        cfg = config(folder)
        cfg.randomness = dict(seed=1)
        cfg.default_hooks.runtime_info = dict(type=kind)
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3)
        runner = Runner.from_cfg(cfg)
        runner.train()
        states = [read(folder / f'iter_{i}.pth')['message_hub'] for i in (3, 6)]
        logged.append([list(s['log_scalars']['train/loss_base']._log_history) for s in states])
    assert logged[0] == logged[1]
    assert [len(history) for history in logged[0]] == [3, 6]
