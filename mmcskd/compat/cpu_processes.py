import os
from typing import Any, Dict


def has_accelerator() -> bool:
    """Whether MMEngine would train on anything but the CPU."""
    from mmengine.device import get_device

    return get_device() != 'cpu'


def bridge_cpu_processes(cfg) -> None:
    """Let several processes train on a machine with no accelerator.

    Symptom: a run started by ``torchrun`` without a GPU fails in ``torch.cuda.set_device``, and
    DistributedDataParallel rejects ``device_ids``.
    Cause: MMEngine assumes CUDA in distributed runs.
    Applies: no accelerator and ``cfg.launcher`` is set. Call it before the Runner is built.

    Args:
        cfg (mmengine.Config): The run's config. The bridge fills in ``model_wrapper_cfg``, or the
            ``strategy`` of a FlexibleRunner.

    Raises:
        ValueError: For a launcher that makes no process group on a CPU.
    """
    if cfg.get('launcher', 'none') == 'none' or has_accelerator():
        return
    if cfg.launcher != 'pytorch' or 'RANK' not in os.environ:
        raise ValueError(
            f'--launcher {cfg.launcher} has no process group to join on a machine without a GPU: '
            'start with tools/dist_train.sh or tools/dist_test.sh, which use torchrun and gloo.'
        )
    import datetime

    import torch.distributed as dist

    if not dist.is_initialized():
        timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        options: Dict[str, Any] = {}
        if timeout is not None:
            options['timeout'] = datetime.timedelta(seconds=timeout)
        dist.init_process_group('gloo', **options)
    if cfg.get('strategy') is not None:  # a FlexibleRunner wraps the model by its strategy
        if cfg.strategy.get('type') == 'DDPStrategy':
            wrapper = cfg.strategy.get('model_wrapper') or dict(broadcast_buffers=False)
            cfg.strategy.model_wrapper = {**wrapper, 'device_ids': None}
        return
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **cfg.get('model_wrapper_cfg', {}),
        'device_ids': None,
    }
