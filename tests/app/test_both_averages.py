"""A validation under an average has both numbers, raw and averaged, each under its own name."""

import json

import pytest
import torch
from mmengine.config import Config
from models import CONFIGS, build
from tool_runs import load_tool

from mmcskd.app.runner import build_runner


def small(folder):
    cfg = Config.fromfile(CONFIGS / 'demo' / 'cskd_vit_resnet18.py')
    shipped = Config.fromfile(CONFIGS / 'cskd_deit-s_regnety.py')
    (ema,) = (hook for hook in shipped.custom_hooks if hook.type == 'EMAHook')
    cfg.custom_hooks.append(dict(ema, momentum=0.05))
    cfg.model.teacher_ckpt = str(folder / 'teacher.pth')
    torch.save(build(cfg.model.teacher).state_dict(), cfg.model.teacher_ckpt)
    for name, length in dict(train=64, val=200, test=200).items():
        loader = cfg[f'{name}_dataloader']
        loader.update(batch_size=8, num_workers=0, persistent_workers=False)
        loader.dataset.length = length
    cfg.param_scheduler, cfg.optim_wrapper.optimizer.lr = None, 1e-3
    cfg.default_hooks.checkpoint = dict(shipped.default_hooks.checkpoint, max_keep_ckpts=9)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.train_cfg.max_epochs, cfg.launcher = 3, 'none'
    cfg.work_dir, cfg.experiment_name = str(folder / 'run'), folder.name
    return cfg


@pytest.mark.slow
def test_a_run(tmp_path):
    """What its log says of an epoch is what tools/test.py says of that checkpoint."""
    cfg = small(tmp_path)
    cfg.dump(tmp_path / 'config.py')
    build_runner(cfg).train()
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    validations = [line for line in lines if 'accuracy/top1' in line]
    assert len(validations) == 3
    assert any(line['accuracy/top5'] != line['accuracy/top5_origin'] for line in validations)
    tool, out = load_tool('test'), tmp_path / 'out.json'
    for epoch, line in enumerate(validations, start=1):
        for choice, suffix in (('--ema', ''), ('--no-ema', '_origin')):
            checkpoint = str(tmp_path / 'run' / f'epoch_{epoch}.pth')
            tool.main([
                str(tmp_path / 'config.py'), checkpoint, choice, '--out', str(out), '--work-dir',
                str(tmp_path / f'test_{epoch}{choice}'),
            ])  # fmt: skip
            found = json.loads(out.read_text())['student']
            for name in ('accuracy/top1', 'accuracy/top5'):
                assert found[name] == line[f'{name}{suffix}']
    (best,) = (tmp_path / 'run').glob('best_accuracy_top1_epoch_*.pth')
    averaged = [line['accuracy/top1'] for line in validations]
    assert int(best.stem.split('_')[-1]) == averaged.index(max(averaged)) + 1
