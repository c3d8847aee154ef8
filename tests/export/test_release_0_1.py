"""Checkpoints of release 0.1 evaluate, export and train on as they did there."""

import copy
import functools
import json
from pathlib import Path

import pytest
import tool_runs
import torch
from mmengine.config import Config
from mmpretrain import get_model
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample

from mmcskd import CSKDLoss, DeiTLoss, DistTokenConnector, PatchTokenConnector, PatchTokenRecorder
from mmcskd.app.launch import build_student
from mmcskd.export.export_student import export_student
from mmcskd.runs.safe_loading import read
from mmcskd.student.release_0_1 import rename_weights

ROOT = Path(__file__).parents[2]
DATA = ROOT / 'tests' / 'data' / 'v0.1'
EXPECTED = json.loads((DATA / 'expected.json').read_text())
WITH_TEACHER = [name for name in EXPECTED if name.startswith('cskd')]


def images(name):
    size = EXPECTED[name]['image']
    k = torch.arange(3 * 3 * size * size)
    return ((7919 * k + k * k) % 251 / 50 - 2.5).reshape(3, 3, size, size)


def responses():
    """d (3, 10, 2, 2) and g (3, 10) of no teacher at all."""
    k = torch.arange(3 * 10 * 4)
    spatial = ((5231 * k + k * k) % 97 / 20 - 2.5).reshape(3, 10, 2, 2)
    return spatial, spatial.flatten(2).mean(2)


def student(name):
    """The student of the config that has the same name today, with the old weights."""
    cfg = Config.fromfile(ROOT / 'configs' / EXPECTED[name]['config'])
    cfg.merge_from_dict(copy.deepcopy(EXPECTED[name]['options']))
    return build_student(cfg, str(DATA / f'{name}.pth'))


def check(logits, name, key, atol=2e-6):
    expected = torch.tensor(EXPECTED[name][key])
    torch.testing.assert_close(logits.detach(), expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize('name', EXPECTED)
def test_evaluates_to_the_same_logits(name):
    check(student(name).eval()(images(name)), name, 'test')


@pytest.mark.parametrize('name, raw', [*((name, '') for name in EXPECTED), ('cskd_deit', 'raw_')])
def test_exports_to_mmpretrain(name, raw, tmp_path):
    """By the config in the checkpoint, which names the heads of 0.1."""
    ema = False if raw else None
    lines = export_student(DATA / f'{name}.pth', tmp_path / 'a.pth', ema=ema)
    assert lines[0] == EXPECTED[name][f'{raw}lines'][0]
    state = torch.load(tmp_path / 'a.pth', weights_only=True)['state_dict']
    assert sorted(state) == EXPECTED[name][f'{raw}weights']
    config = Config.fromfile(tmp_path / 'a.py').to_dict()
    expected = copy.deepcopy(EXPECTED[name]['stock_config'])
    # 'cls_token' was written out; it is the default.
    assert expected['model']['backbone'].pop('out_type', 'cls_token') == 'cls_token'
    assert config == expected
    stock = get_model(str(tmp_path / 'a.py'), pretrained=str(tmp_path / 'a.pth')).eval()
    check(stock(images(name)), name, f'{raw}mmpretrain')


@pytest.mark.parametrize('name', [name for name in EXPECTED if 'timm' in EXPECTED[name]])
def test_exports_to_timm(name, tmp_path):
    timm = pytest.importorskip('timm')
    lines = export_student(DATA / f'{name}.pth', tmp_path / 'a.pth', 'timm')
    call = EXPECTED[name]['timm_call']
    assert f'Load: {call}.load_state_dict' in lines[2]
    model = eval(call, dict(timm=timm, torch=torch, functools=functools)).eval()
    model.load_state_dict(torch.load(tmp_path / 'a.pth', weights_only=True))
    check(model(images(name)), name, 'timm')


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPECTED)
def test_exports_to_onnx(name, tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    export_student(DATA / f'{name}.pth', tmp_path / 'a.onnx', 'onnx')
    session = runtime.InferenceSession(tmp_path / 'a.onnx', providers=['CPUExecutionProvider'])
    (logits,) = session.run(None, dict(images=images(name).numpy()))
    check(torch.from_numpy(logits), name, 'onnx', atol=1e-5)


@pytest.mark.parametrize('name', EXPECTED)
def test_trains_on_by_the_same_losses_and_gradients(name):
    model = student(name).train()
    samples = [DataSample().set_gt_label(label) for label in (1, 4, 7)]
    spatial, whole = responses()
    losses = {}
    if name in WITH_TEACHER:
        recorder = PatchTokenRecorder()
        recorder.initialize(model)
        with recorder:
            losses['base'] = model(images(name), samples, mode='loss')['loss']
        tokens = recorder.get_record_data()
        cskd = CSKDLoss(fusion_weight=0.3)
        losses['cskd'] = cskd(PatchTokenConnector()(tokens), spatial, whole)
        if name == 'cskd_deit':
            losses['deit'] = DeiTLoss(loss_weight=0.5)(DistTokenConnector()(tokens), whole)
    else:
        losses['base'] = model(images(name), samples, mode='loss')['loss']
    assert {key: float(loss) for key, loss in losses.items()} == pytest.approx(
        EXPECTED[name]['losses'], rel=1e-6
    )
    sum(losses.values()).backward()
    gradients = dict(model.named_parameters())
    expected = dict(EXPECTED[name]['gradients'])
    rename_weights(expected)
    assert set(expected) == set(gradients)
    for key, (norm, total) in expected.items():
        gradient = gradients[key].grad.double()
        assert float(gradient.norm()) == pytest.approx(norm, rel=3e-5, abs=1e-6), key
        # A sum may cancel out: what other kernels round is measured by the norm.
        assert float(gradient.sum()) == pytest.approx(total, rel=1e-4, abs=5e-5 * norm + 2e-6), key


@pytest.mark.parametrize('name', EXPECTED)
def test_average_and_resume_find_the_old_names(name):
    """MMEngine loads by `load_state_dict`, with whatever stands before the student's names."""
    content = read(DATA / f'{name}.pth')
    model = student(name)
    before = 'architecture' if name in WITH_TEACHER else 'module'
    state = content['state_dict']
    if before == 'module':
        state = {f'module.{key}': value for key, value in state.items()}
    around = torch.nn.ModuleDict({before: copy.deepcopy(model)})
    for parameter in around.parameters():
        parameter.data.zero_()
    around.load_state_dict(state, strict=True)
    torch.testing.assert_close(around[before].state_dict(), model.state_dict(), rtol=0, atol=0)
    # The optimizer's state is by number: the weights have their old order.
    names = [key.replace('head.layers.head_dist', 'head_dist') for key in content['state_dict']]
    ours = [key.replace('head.layers.head_dist', 'head_dist') for key in model.state_dict()]
    assert [key.replace(f'{before}.', '') for key in names] == ours


def test_command_of_the_old_checkpoint(tmp_path):
    """`tools/test.py CONFIG CHECKPOINT`, by the config that has the same name today."""
    expected, size = EXPECTED['cskd_vit'], EXPECTED['cskd_vit']['image']
    loader = dict(
        _delete_=True,
        batch_size=8,
        num_workers=0,
        dataset=dict(
            type='ClutteredDigits',
            split='test',
            length=16,
            canvas=size,
            pipeline=[dict(type='PackInputs')],
        ),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    cfg = Config.fromfile(ROOT / 'configs' / expected['config'])
    cfg.merge_from_dict(copy.deepcopy(expected['options']))
    cfg.merge_from_dict(
        dict(
            test_dataloader=loader,
            data_preprocessor=dict(num_classes=10, mean=[32.0] * 3, std=[64.0] * 3),
            custom_hooks=[],
        )
    )
    cfg.visualizer.vis_backends = []
    cfg.dump(tmp_path / 'config.py')
    checkpoint = str(DATA / 'cskd_vit.pth')
    tool_runs.call('test', 'config.py', checkpoint, '--out', 'out.json', cwd=tmp_path)
    found = json.loads((tmp_path / 'out.json').read_text())['student']['accuracy/top1']
    model = student('cskd_vit').eval()
    dataset = DATASETS.build(dict(loader['dataset'], pipeline=[]))
    items = [dataset.get_data_info(index) for index in range(16)]
    canvases = torch.stack([torch.tensor(item['img']) for item in items]).permute(0, 3, 1, 2)
    with torch.no_grad():
        classes = model((canvases - 32.0) / 64.0).argmax(1)
    right = classes == torch.tensor([item['gt_label'] for item in items])
    assert found == pytest.approx(100 * float(right.float().mean()))
