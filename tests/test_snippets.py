"""Each snippet of the documents runs in small, or is named with the reason why it does not."""

import ast
import math
import re
import shlex
from functools import partial
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from documents import ROOT, blocks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, VISUALIZERS
from packaging.version import Version
from small_runs import make_imagenet, reduce
from tool_runs import environment, forget_runs

import mmcskd
import mmcskd_cli
from mmcskd.app.runner import build_runner
from mmcskd.compat import bridge_cpu_processes

# Built, not run; a part of the snippet says which.
NOT_RUN = {
    'WandbVisBackend': 'wandb, which needs an account, is not installed with the tests',
    'MLflowVisBackend': 'nor is mlflow',
}
# Commands that are read alone: the Python call beside them runs.
TRAINING = 'mmcskd distill '

SNIPPETS = {f'{page.stem}-{i}': code for i, (page, code) in enumerate(blocks('python'))}
WORDS = list(
    dict.fromkeys(
        line.split('  # ')[0].strip()
        for _, code in blocks('bash')
        for line in code.splitlines()
        if line.startswith('mmcskd ')
    )
)


def kind(code):
    """How a snippet runs."""
    if any(part in code for part in NOT_RUN):
        return 'not run'
    if 'mmcskd.distill(' in code:
        return 'distill'
    names = {target.id for node in ast.parse(code).body for target in getattr(node, 'targets', ())}
    if names & {'_base_', 'default_hooks'}:
        return 'config'
    return 'backbone' if 'backbone' in names else 'code'


def of_kind(*kinds):
    chosen = {name: code for name, code in SNIPPETS.items() if kind(code) in kinds}
    return pytest.mark.parametrize('code', chosen.values(), ids=chosen)


def test_what_is_not_run_is_there():
    for part in NOT_RUN:
        assert [code for code in SNIPPETS.values() if part in code], part
    kinds = [kind(code) for code in SNIPPETS.values()]
    assert kinds.count('not run') == len(NOT_RUN)
    assert kinds.count('config') > 10


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp('imagenet'))


@pytest.mark.slow
@of_kind('config')
def test_a_config_trains(code, imagenet, tmp_path, monkeypatch):
    """Two iterations and a validation."""
    if 'StudentFSDPStrategy' in code:
        if Version(torch.__version__) < Version('2.1') and not torch.cuda.is_available():
            pytest.skip('torch < 2.1 shards no model on a CPU')
        found = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1')
        for name, value in dict(found, MASTER_PORT=environment()['PORT']).items():
            monkeypatch.setenv(name, value)
    folder = tmp_path / 'snippet'
    if '_base_' not in code:  # of any project: here that of the demo
        folder = tmp_path / 'demo'
        code = f"_base_ = '{ROOT}/configs/demo/none_vit.py'\n" + code
    folder.mkdir()
    (tmp_path / 'run').mkdir()
    (folder / 'snippet.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    forget_runs()
    try:
        cfg = reduce(folder / 'snippet.py', imagenet, tmp_path / 'run')
        for hook in cfg.get('custom_hooks', []):
            if hook.type == 'EMAHook':
                hook.momentum = 0.5  # for two iterations
        if 'strategy' in cfg:
            cfg.launcher = 'pytorch'
            bridge_cpu_processes(cfg)
        runner = build_runner(cfg)
        runner.train()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        forget_runs()
    assert runner.iter == 2 and list((tmp_path / 'run').glob('epoch_1.pth'))
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100


@of_kind('not run')
def test_a_visualizer_is_built(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('snippet.py').write_text(code)
    visualizer = Config.fromfile('snippet.py').visualizer
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = VISUALIZERS.build({'name': str(tmp_path), 'save_dir': '.', **visualizer})
    assert len(built._vis_backends) == len(visualizer.vis_backends)


@of_kind('backbone')
def test_a_backbone_takes_its_weights(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('snippet.py').write_text(code)
    config = Config.fromfile('snippet.py').backbone
    first = MODELS.build(dict(config, init_cfg=None))
    Path(config.init_cfg.checkpoint).parent.mkdir(parents=True)
    torch.save(dict(state_dict=first.state_dict()), config.init_cfg.checkpoint)
    backbone = MODELS.build(config)
    backbone.init_weights()
    images = torch.randn(1, 3, 224, 224)
    backbone.train(False), first.train(False)
    assert torch.equal(backbone(images)[0], first(images)[0])
    assert backbone(images)[0].shape == (1, 384, 14, 14)


@of_kind('code')
def test_code_runs(code):
    names = {}
    exec(compile(code, 'snippet', 'exec'), names)
    if 'late' in names:
        late = mmcskd.build_schedule(dict(type='late', start=0.5))
        assert late(0.75) == pytest.approx(0.5)
    else:
        model = type('Model', (names['WithTeacher'],), dict(forward=None))()
        model.teacher = torch.nn.Identity()
        assert model.watched_modules() == {"the teacher's answer": model.teacher}


@pytest.mark.parametrize('command', WORDS)
def test_a_command_is_read(command):
    options = vars(mmcskd_cli.parser().parse_args(shlex.split(command)[1:]))
    assert options['command'] == command.split()[1]


@pytest.mark.slow
def test_own_images(tmp_path, monkeypatch):
    """The calls of the documents, then the commands on what they made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMCSKD_HOME', str(tmp_path / 'home'))
    drawn = np.random.RandomState(0)
    for index in range(20):
        for name, most in (('dark', 90), ('light', 255)):
            image = drawn.randint(most // 2, most, (16, 16, 3), dtype=np.uint8)
            mmcv.imwrite(image, f'photos/{name}/{index}.png')
    for name in ('cat.jpg', 'dog.jpg', 'new/one.jpg'):
        mmcv.imwrite(image, name)
    small = dict(teacher='small-cnn', student='small-vit', epochs=1, teacher_epochs=1)
    distill = partial(mmcskd.distill, augment='light')
    monkeypatch.setattr(mmcskd, 'distill', lambda data, **given: distill(data, **given | small))
    calls = [code for code in SNIPPETS.values() if kind(code) == 'distill']
    for code in calls:
        names = {}
        exec(compile(code, 'snippet', 'exec'), names)
        assert 0 <= names['run'].accuracy <= 100
        (exported,) = re.findall(r"export\('(.*)'\)", code)
        assert Path(exported).stat().st_size > 0
    then = [command for command in WORDS if not command.startswith(TRAINING)]
    for command in then:
        words = [
            str(path)
            for word in shlex.split(command)[1:]
            for path in (Path().glob(word) if '*' in word else [word])
        ]
        assert mmcskd_cli.main([*words, *(['--force'] if 'export' in words else [])]) == 0
    assert len(calls) == 2 and len(then) > 5
    assert Path('answers.png').stat().st_size > 0
