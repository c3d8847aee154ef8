"""What the hooks of a shipped config take of a training step.

The config's own train loop runs with all of its hooks, logging included, around an empty step.
After each round of iterations a real step is timed, and within it what a hook does there.
"""

import tempfile
from collections import defaultdict
from functools import partial
from statistics import median

import torch
from benchmark_models import batch, config
from measure import parser, prepare, quartiles, ratios, report, seconds, stepper
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from mmcskd import FiniteLossHook

MOMENTS = ('before_train_iter', 'after_train_iter')
IN_STEP = 'FiniteLossHook, in the step'


@DATASETS.register_module()
class Blank(Dataset):
    """One black pixel a sample."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        pixel = torch.zeros(3, 1, 1, dtype=torch.uint8)
        return dict(inputs=pixel, data_samples=DataSample().set_gt_label(index % 1000))


def timed(runner):
    """Let a runner time its hooks; returns, by hook, the seconds of its calls within iterations."""
    spent = defaultdict(list)

    for hook in runner.hooks:
        if isinstance(hook, FiniteLossHook):  # it listens within the step
            for name in ('_look', '_listen'):
                setattr(hook, name, _within_step(getattr(hook, name), spent[IN_STEP]))

    def call_hook(moment, **kwargs):
        for hook in runner.hooks:
            call = partial(getattr(hook, moment), runner, **kwargs)
            if moment in MOMENTS:
                spent[type(hook).__name__].append(seconds(call))
            else:
                call()

    runner.call_hook = call_hook
    return spent


def _within_step(listener, times):
    def listen(*args, **kwargs):
        times.append(seconds(partial(listener, *args, **kwargs)))

    return listen


def main(argv=None):
    known = parser(__doc__, rounds=9, warmup=1)
    known.add_argument('--config', default='cskd_deit-ti_regnety')
    known.add_argument('--iterations', type=int, default=100, help='of the train loop in a round')
    known.add_argument('--batch', type=int, default=16)
    known.add_argument('--size', type=int, default=224)
    args = known.parse_args(argv)
    device = prepare(args)
    cfg = config(args.config)
    turns = args.rounds + args.warmup
    cfg.train_dataloader = dict(
        batch_size=1,
        num_workers=0,
        dataset=dict(type='Blank', length=args.iterations * turns),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    cfg.data_preprocessor = dict(type='mmpretrain.ClsDataPreprocessor')
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.default_hooks.checkpoint = None
    cfg.launcher, cfg.experiment_name = 'none', 'hooks'
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = Runner.from_cfg(cfg)
        spent = timed(runner)
        inputs, samples = batch(args.batch, args.size, device=device)

        def forward():
            """As the train loop calls the model, so that hooks within it are heard."""
            return runner.model(inputs, samples, mode='loss')

        real = stepper(
            runner.model,
            lambda: sum(value for key, value in forward().items() if 'loss' in key),
        )
        losses = {key: value.detach() for key, value in runner.model.loss(inputs, samples).items()}
        losses['loss'] = losses['loss_base']

        def empty_step(data, optim_wrapper):
            if (runner.iter + 1) % args.iterations == 0:
                spent[IN_STEP].clear()
                step = seconds(real)
                means = {
                    name: sum(times) / (1 if name == IN_STEP else args.iterations)
                    for name, times in spent.items()
                }
                rounds.append(dict(step=step, hooks=means))
                for times in spent.values():
                    times.clear()
                # The schedules are those of all epochs, but one will do.
                runner.train_loop.stop_training = True
            return losses

        runner.model.train_step = empty_step
        runner.train()
    rounds = rounds[args.warmup :]
    times = dict(
        step=[each['step'] for each in rounds],
        hooks=[sum(each['hooks'].values()) for each in rounds],
    )
    share = [100 * each for each in ratios(times, 'hooks', 'step')]
    rows = [
        {
            'hook': name,
            'ms an iteration': median([1000 * each['hooks'].get(name, 0) for each in rounds]),
        }
        for name in rounds[0]['hooks']
    ]
    rows.sort(key=lambda row: -row['ms an iteration'])
    rows.append({'hook': 'all', 'ms an iteration': 1000 * median(times['hooks'])})
    whole = {
        'config': args.config,
        'step, s': median(times['step']),
        'hooks and logging, ms': 1000 * median(times['hooks']),
        'share of the step, %': quartiles(share),
    }
    report({'hooks': [whole], 'hooks-each': rows}, args)


if __name__ == '__main__':
    main()
