import copy
import functools
import time
from typing import Any, Callable, Optional, Sequence, Tuple, Union

import mmengine
import torch
from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.optim import BaseOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.registry import STRATEGIES
from mmengine.runner.checkpoint import save_checkpoint
from packaging.version import Version
from torch import nn
from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType

# torch >= 2.1 exports it from the package.
from torch.distributed.fsdp.fully_sharded_data_parallel import FullOptimStateDictConfig
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.optim import Optimizer

from ..checks.typed import typed


@STRATEGIES.register_module()
class StudentFSDPStrategy(FSDPStrategy):
    """MMEngine's ``FSDPStrategy``: the student's weights, gradients and moments in shards.

    Differences from the stock strategy:

    - It resumes: the stock one passes the optimizer's state to torch in the argument order of torch
      2.0, which fails with newer ones ("unhashable type: 'dict'").
    - It trains on CPUs with gloo too, and saves the optimizer's moments correctly there.
    - Checkpoints contain the whole student, gathered in the first process, so that testing, export
      and a resume with another number of processes work. They are complete or absent, as those of
      an :class:`~mmcskd.AtomicCheckpointHook`.
    - ``paramwise_cfg`` acts on whole weights: the stock strategy builds the optimizer from shards,
      which are all flat, so that ``flat_decay_mult`` would apply to every weight.
    - Gradient clipping is refused: each process would clip its shard by the norm of that shard.

    The teacher is not sharded; each process has all of it.

    Args:
        wrap (Sequence[str]): Class names of the modules that become shards, such as
            ``'TransformerEncoderLayer'``. Defaults to none: the student is one shard, gathered as
            a whole in each step.
        **kwargs: Arguments of ``mmengine._strategy.FSDPStrategy``.

    Raises:
        ValueError: If ``optim_wrapper.clip_grad`` is set or the student has no module of a class
            in ``wrap``.
    """

    @typed
    def __init__(self, *, wrap: Union[str, Sequence[str]] = (), **kwargs) -> None:
        state = kwargs.pop('state_dict_cfg', 'full')
        if state == 'full' and get_device() == 'cpu':
            # Off the device torch makes a copy of each moment; on the CPU it would hand out one
            # buffer for all, and the first moments would be saved as the second ones.
            state = dict(
                state_dict_type=StateDictType.FULL_STATE_DICT,
                state_dict_config=FullStateDictConfig(rank0_only=True),
                optim_state_dict_config=FullOptimStateDictConfig(
                    rank0_only=True, offload_to_cpu=False
                ),
            )
        super().__init__(state_dict_cfg=state, **kwargs)
        self.wrap = (wrap,) if isinstance(wrap, str) else tuple(wrap)

    def prepare(self, model: Union[nn.Module, dict], *, optim_wrapper=None, **kwargs):
        """As in the stock strategy, but the optimizer is built before the weights are sharded.

        Args:
            model (nn.Module | dict): The algorithm.
            optim_wrapper (OptimWrapper | dict, optional): Built or as a config.
            **kwargs: Arguments of ``FSDPStrategy.prepare``.

        Returns:
            tuple: Model, optimizer and so on, those that were requested.
        """
        self._optim_config = optim_wrapper
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        self._whole = self._optimizer_of_the_whole(model)
        self.model_wrapper: Any = {
            'type': 'MMFullyShardedDataParallel',
            'use_orig_params': True,
            **(getattr(self, 'model_wrapper', None) or {}),
        }
        if get_device() == 'cpu':
            if Version(torch.__version__).release < (2, 1):
                raise ValueError(
                    f'strategy.type="StudentFSDPStrategy" on a CPU needs torch >= 2.1 but runs on '
                    f'{torch.__version__}: leave out strategy and runner_type.'
                )
            self.model_wrapper['device_id'] = 'cpu'
        if self.wrap:
            classes = {type(module).__name__: type(module) for module in model.modules()}
            for name in self.wrap:
                if name not in classes:
                    raise ValueError(
                        f'strategy.wrap: the student has no module of class "{name}", only '
                        f'{", ".join(sorted(classes))}.'
                    )
            self.model_wrapper['auto_wrap_policy'] = functools.partial(
                transformer_auto_wrap_policy,
                transformer_layer_cls={classes[name] for name in self.wrap},
            )
        # Moves the teacher too, which is not sharded.
        return super()._wrap_model(model.to(get_device()))

    def build_optim_wrapper(
        self, optim_wrapper: Union[Optimizer, OptimWrapper, dict], model: Any = None
    ) -> BaseOptimWrapper:
        """Give the shards to the optimizer that was built for whole weights.

        Args:
            optim_wrapper (Optimizer | OptimWrapper | dict): Built or as a config.
            model (nn.Module): The student in shards.

        Returns:
            BaseOptimWrapper: Each shard in the group of its weight.
        """
        if self._whole is None:
            return super().build_optim_wrapper(optim_wrapper, model)
        shards = {
            name.replace('_fsdp_wrapped_module.', ''): shard
            for name, shard in model.named_parameters()
        }
        wrapper, groups = self._whole
        for group, names in zip(wrapper.optimizer.param_groups, groups):
            group['params'] = [shards[name] for name in names]
        return wrapper

    def _optimizer_of_the_whole(self, model: nn.Module) -> Optional[Tuple]:
        """The optimizer and, of each of its groups, the names of the weights."""
        config = self._optim_config
        options = config if isinstance(config, dict) else vars(config) if config else {}
        if options.get('clip_grad') or options.get('clip_grad_kwargs'):
            raise ValueError(
                'optim_wrapper.clip_grad would clip each shard by its own norm: set it to None, or '
                'leave out runner_type and strategy.'
            )
        if not isinstance(config, dict):
            return None
        config = copy.deepcopy(config)
        if str(config.get('type')).endswith('AmpOptimWrapper'):
            config.setdefault('use_fsdp', True)
        wrapper = build_optim_wrapper(model, config)
        names = {id(weight): name for name, weight in model.named_parameters()}
        groups = wrapper.optimizer.param_groups
        return wrapper, [[names[id(weight)] for weight in group['params']] for group in groups]

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: Optional[dict] = None,
        callback: Optional[Callable] = None,
    ) -> None:
        """As in the stock strategy, but written completely or not at all.

        Args:
            filename (str): The file; with ``state_dict_cfg='local'`` the folder of all shards,
                which the stock strategy writes.
            save_optimizer (bool): Defaults to True.
            save_param_scheduler (bool): Defaults to True.
            extra_ckpt (dict, optional): Further entries, such as ``meta``.
            callback (Callable, optional): Called with the checkpoint before it is written.
        """
        options = dict(
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
            extra_ckpt=extra_ckpt,
            callback=callback,
        )
        if not self._is_full_state_dict() or '://' in filename:
            super().save_checkpoint(filename, **options)
            return
        checkpoint = dict(state_dict=self.model_state_dict(), **(extra_ckpt or {}))
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        now = time.strftime('%Y%m%d_%H%M%S', time.localtime())
        checkpoint['meta'] = dict(
            checkpoint.get('meta') or {}, seed=self.seed, time=now, mmengine=mmengine.__version__
        )
        if callback is not None:
            callback(checkpoint)
        if is_main_process():
            save_checkpoint(checkpoint, filename, backend_args=dict(backend='atomic'))

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Give each process its shard of the optimizer's state.

        Args:
            state_dict (dict): The optimizer's state in a checkpoint.
        """
        shard = FullyShardedDataParallel.optim_state_dict_to_load(
            optim_state_dict=state_dict, model=self.model, optim=self.optim_wrapper.optimizer
        )
        self.optim_wrapper.load_state_dict(shard)
