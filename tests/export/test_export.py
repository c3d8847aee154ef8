"""Each export, loaded on the other side: the same logits."""

import copy
import json
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS
from mmpretrain.registry import TRANSFORMS
from models import (
    NUM_CLASSES,
    algorithm_config,
    build,
    distiller_config,
    student_config,
    tokens_of,
)

from mmcskd.export import export_student as export
from mmcskd.export.export_student import PACKAGES, TARGETS, export_student
from mmcskd.export.student_checkpoint import load_student
from mmcskd.runs.saved_config import read_saved_config

ROOT = Path(__file__).parents[2]
INSTALLED = [name for name in TARGETS if all(map(find_spec, PACKAGES.get(name, ())))]
CLASSES = [f'class {i}' for i in range(NUM_CLASSES)]
PREPROCESSOR = dict(
    type='mmpretrain.ClsDataPreprocessor',
    mean=[100.0, 110.0, 120.0],
    std=[50.0, 60.0, 70.0],
    batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]),
)
LOADER = dict(
    dataset=dict(
        type='ClutteredDigits',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(32, 32)),
            dict(type='PackInputs'),
        ],
    )
)


def shaken(model, seed=2):
    """The model with no weight left at a value that would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def trained(path, student=None, ema=False, **settings):
    """A checkpoint as a run leaves it; returns it with the student whose weights it should give."""
    student = student or student_config()
    distiller = distiller_config(deit='Distilled' in student['backbone']['type'])
    model = algorithm_config(architecture=student, distiller=distiller)
    algorithm = build(copy.deepcopy(model))
    shaken(algorithm.student)
    algorithm.eval()
    cfg = Config(
        dict(model=model, data_preprocessor=PREPROCESSOR, test_dataloader=LOADER, **settings)
    )
    checkpoint = dict(
        meta=dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES), epoch=3, iter=30),
        state_dict=algorithm.state_dict(),
        message_hub=MessageHub.get_instance('export').state_dict(),
    )
    averaged = None
    if ema:
        hook = EMAHook()
        hook.src_model = algorithm
        hook.ema_model = ExponentialMovingAverage(algorithm)
        averaged = shaken(hook.ema_model.module.student, seed=3)
        checkpoint['state_dict'] = copy.deepcopy(algorithm.state_dict())
        hook.before_save_checkpoint(None, checkpoint)
    torch.save(checkpoint, path)
    return str(path), algorithm.student, averaged


def stock_votes(student):
    """The student with the voters that stock MMPretrain and timm know."""
    twin = copy.deepcopy(student)
    twin.vote = twin.stock_vote
    return twin


def images(n=3, size=32):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(5))


STOCK = """
import sys
sys.modules['mmcskd'] = None
import torch
from mmengine.runner import load_checkpoint
from mmpretrain import ImageClassificationInferencer, get_model
for name in ('deit', 'vit'):
    model = get_model(f'{name}.py', pretrained=f'{name}.pth')
    assert type(model.head).__module__.startswith('mmpretrain.'), model.head
    load_checkpoint(model, f'{name}.pth', strict=True)
    given = torch.load(f'{name}.expected')
    with torch.no_grad():
        torch.testing.assert_close(model(given['images']), given['logits'])
    inferencer = ImageClassificationInferencer(f'{name}.py', pretrained=f'{name}.pth')
    result = inferencer(given['photograph'].numpy())[0]
    torch.testing.assert_close(torch.tensor(result['pred_scores']), given['scores'])
    assert result['pred_class'] == f'class {given["scores"].argmax()}', result
assert 'mmrazor' not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.both_stacks
def test_stock_mmpretrain_without_mmcskd(tmp_path):
    for name, dist_token in (('deit', True), ('vit', False)):
        source = tmp_path / f'{name}.source'
        checkpoint, student, _ = trained(source, student_config(dist_token))
        lines = export_student(checkpoint, tmp_path / f'{name}.pth')
        voters = ('cls', 'dist') if dist_token else ('cls',)
        assert f'Score: the stock logits only, as with vote={voters}.' in '\n'.join(lines)
        student = stock_votes(student)
        photograph = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8)
        mean, std = (torch.tensor(PREPROCESSOR[key]).view(3, 1, 1) for key in ('mean', 'std'))
        seen = (photograph.permute(2, 0, 1) - mean) / std
        with torch.no_grad():
            expected = dict(
                images=images(),
                logits=student(images()),
                photograph=photograph,
                scores=student(seen[None]).softmax(1)[0],
            )
        torch.save(expected, tmp_path / f'{name}.expected')
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', STOCK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize('dist_token', [True, False])
def test_stock_config_and_weights(tmp_path, dist_token):
    checkpoint, student, _ = trained(tmp_path / 'a.pth', student_config(dist_token))
    export_student(checkpoint, tmp_path / 'b.pth')
    content = torch.load(tmp_path / 'b.pth', weights_only=True)
    expected = student.state_dict()
    if not dist_token:
        expected = {k: v for k, v in expected.items() if 'head_dist' not in k}
    assert set(content['state_dict']) == set(expected)
    assert all(torch.equal(content['state_dict'][name], expected[name]) for name in expected)
    assert content['meta']['dataset_meta'] == dict(classes=CLASSES)
    assert content['meta']['epoch'] == 3

    cfg = Config.fromfile(tmp_path / 'b.py')
    assert cfg.model.head.to_dict() == dict(
        type='DeiTClsHead' if dist_token else 'VisionTransformerClsHead',
        num_classes=NUM_CLASSES,
        in_channels=24,
    )
    assert cfg.data_preprocessor.mean == PREPROCESSOR['mean']
    assert 'batch_augments' not in cfg.data_preprocessor
    assert cfg.test_dataloader.dataset.pipeline == LOADER['dataset']['pipeline']
    # ClutteredDigits is this package's own.
    assert cfg.test_dataloader.dataset.type == 'CustomDataset'
    assert 'cskd' not in cfg.pretty_text.lower()
    assert content['meta']['cfg'] == cfg.pretty_text


def test_an_export_is_a_checkpoint_of_its_own(tmp_path):
    checkpoint, student, _ = trained(tmp_path / 'a.pth')
    export_student(checkpoint, tmp_path / 'b.pth')
    again = load_student(str(tmp_path / 'b.pth'))
    torch.testing.assert_close(again.model(images()), stock_votes(student)(images()))


def test_stock_student_that_was_not_distilled(tmp_path):
    """Of configs/none_*.py: no architecture, no teacher, a head of MMPretrain's own."""
    config = student_config(dist_token=False)
    config['type'] = 'ImageClassifier'
    config.pop('vote')
    model = shaken(build(copy.deepcopy(config)))
    cfg = Config(
        dict(model=config, test_dataloader=dict(dataset=dict(type='ImageNet', pipeline=[])))
    )
    meta = dict(cfg=cfg.pretty_text)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'a.pth')
    lines = export_student(str(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    assert "Score: the stock logits, as the student's own." in lines
    assert Config.fromfile(tmp_path / 'b.py').test_dataloader.dataset.type == 'ImageNet'
    torch.testing.assert_close(
        load_student(str(tmp_path / 'b.pth')).model(images()), model(images())
    )


@pytest.mark.parametrize('dist_token', [True, False])
def test_backbone_of_a_detector_or_segmentor(tmp_path, dist_token):
    checkpoint, student, _ = trained(tmp_path / 'a.pth', student_config(dist_token))
    lines = export_student(checkpoint, tmp_path / 'b.pth', 'backbone')
    config = student_config(dist_token)['backbone']
    config.update(
        type=f'mmpretrain.{config["type"]}',
        out_type='featmap',
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'b.pth')),
    )
    printed = {}
    exec(lines[1][len('Load: ') :], printed)
    assert printed['backbone'] == {k: v for k, v in config.items() if k != 'out_type'}
    backbone = MODELS.build(dict(printed['backbone'], out_type='featmap'))
    backbone.init_weights()
    backbone.eval()
    for name, value in student.backbone.state_dict().items():
        assert torch.equal(backbone.state_dict()[name], value), name
    patches = tokens_of(student, images())[:, 1 + dist_token :]
    expected = patches.transpose(1, 2).unflatten(2, (8, 8))
    torch.testing.assert_close(backbone(images())[-1], expected)
    # From which DistilledInitHook interpolates position embeddings.
    assert torch.load(tmp_path / 'b.pth', weights_only=True)['meta'] == dict(grid=[8, 8])


DEIT_TINY = dict(arch='deit-tiny', img_size=224, patch_size=16)


@pytest.mark.parametrize(
    'dist_token, backbone, call',
    [
        (True, DEIT_TINY, "timm.create_model('deit_tiny_distilled_patch16_224', num_classes=7)"),
        (False, DEIT_TINY, "timm.create_model('vit_tiny_patch16_224', num_classes=7)"),
        (
            True,
            dict(norm_cfg=dict(type='LN', eps=1e-3), qkv_bias=False),
            'timm.models.deit.VisionTransformerDistilled(num_classes=7, img_size=(32, 32), '
            'qkv_bias=False, norm_layer=functools.partial(torch.nn.LayerNorm, eps=0.001), '
            'patch_size=(4, 4), embed_dim=24, depth=2, num_heads=2, mlp_ratio=2)',
        ),
    ],
)
def test_timm(tmp_path, dist_token, backbone, call):
    import functools

    import safetensors.torch
    import timm

    config = student_config(dist_token)
    config['backbone'].update(backbone)
    size = config['backbone']['img_size']
    if config['backbone']['arch'] == 'deit-tiny':
        config['head']['in_channels'] = 192
    checkpoint, student, _ = trained(tmp_path / 'a.pth', config)
    lines = export_student(checkpoint, tmp_path / 'b.pth', 'timm')
    assert lines[2] == f"Load: {call}.load_state_dict(torch.load('{tmp_path / 'b.pth'}'))"
    modules = dict(timm=timm, torch=torch, functools=functools, safetensors=safetensors)
    with torch.no_grad():
        expected = stock_votes(student)(images(2, size))
    for name in ('b.pth', "it's.safetensors"):
        lines = export_student(checkpoint, tmp_path / name, 'timm', force=True)
        created, _, loading = lines[2][len('Load: ') :].partition('.load_state_dict')
        model = eval(created, modules)
        assert not eval(f'model.load_state_dict{loading}', dict(modules, model=model)).missing_keys
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(images(2, size)), expected)
    with torch.no_grad():
        # The patches' vote is what timm lacks.
        assert (student(images(2, size)) - expected).abs().max() > 1e-3


def test_timm_reads_the_file_itself(tmp_path):
    import timm

    config = student_config()
    config['backbone'].update(DEIT_TINY)
    config['head']['in_channels'] = 192
    checkpoint, student, _ = trained(tmp_path / 'a.pth', config)
    name = 'deit_tiny_distilled_patch16_224'
    for path in (tmp_path / 'b.pth', tmp_path / 'b.safetensors'):
        export_student(checkpoint, path, 'timm')
        model = timm.create_model(name, num_classes=NUM_CLASSES, checkpoint_path=str(path))
        assert torch.equal(model.dist_token, student.backbone.dist_token)


def test_safetensors(tmp_path):
    import mmpretrain
    import safetensors
    from safetensors import safe_open
    from safetensors.torch import load_file

    checkpoint, student, _ = trained(tmp_path / 'a.pth')
    lines = export_student(checkpoint, tmp_path / 'b.safetensors', 'safetensors')
    modules = dict(mmpretrain=mmpretrain, safetensors=safetensors)
    assert not eval(lines[2][len('Load: ') :], modules).unexpected_keys
    state = load_file(tmp_path / 'b.safetensors')
    with safe_open(tmp_path / 'b.safetensors', 'pt') as file:
        notes = file.metadata()
    assert json.loads(notes['meta'])['dataset_meta'] == dict(classes=CLASSES)
    assert notes['weights'] == 'only'
    model = MODELS.build(
        dict(Config.fromfile(tmp_path / 'b.py').model, _scope_='mmpretrain')
    ).eval()
    model.load_state_dict(state, strict=True)
    torch.testing.assert_close(model(images()), stock_votes(student)(images()))


@pytest.mark.parametrize('dist_token', [True, False])
def test_onnx(tmp_path, dist_token):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    checkpoint, student, _ = trained(tmp_path / 'a.pth', student_config(dist_token))
    lines = export_student(checkpoint, tmp_path / 'b.onnx', 'onnx')
    voters = 'cls, dist, patch' if dist_token else 'cls, patch'
    assert f"Score: the student's own, the average of {voters}." in lines
    # One file, the weights in it.
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.pth', 'b.onnx']
    session = onnxruntime.InferenceSession(tmp_path / 'b.onnx', providers=['CPUExecutionProvider'])
    for n in (1, 2, 5):
        logits = session.run(['logits'], dict(images=images(n).numpy()))[0]
        with torch.no_grad():
            expected = student(images(n))
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)
    # From the metadata alone a photograph is prepared as by the test pipeline.
    session = eval(lines[3][len('Load: ') :], dict(onnxruntime=onnxruntime))
    notes = session.get_modelmeta().custom_metadata_map
    notes = {name: json.loads(text) for name, text in notes.items()}
    assert notes['classes'] == CLASSES and notes['weights'] == 'only'
    assert [step['type'] for step in notes['pipeline']][:2] == ['LoadImageFromFile', 'Resize']
    assert notes['size'] == [32, 32] and notes['channel_order'] == 'BGR'
    photograph = torch.randint(0, 256, (32, 32, 3)).numpy()  # as OpenCV loads it
    seen = ((photograph - notes['mean']) / notes['std']).transpose(2, 0, 1)[None].astype('float32')
    student.data_preprocessor = MODELS.build(PREPROCESSOR)
    batch = dict(inputs=[torch.from_numpy(photograph).permute(2, 0, 1)])
    with torch.no_grad():
        expected = student(student.data_preprocessor(batch)['inputs'])
    logits = torch.from_numpy(session.run(['logits'], dict(images=seen))[0])
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    'loading, to_rgb, order',
    [({}, True, 'RGB'), ({}, False, 'BGR'), (dict(channel_order='rgb'), False, 'RGB')],
)
def test_channel_order(tmp_path, loading, to_rgb, order):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    student = load_student(trained(tmp_path / 'a.pth')[0])
    student.config.data_preprocessor.to_rgb = to_rgb
    student.config.test_dataloader.dataset.pipeline[0].update(loading)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], 'a', [], [])), tmp_path / 'b.onnx')
    export._describe_input(student, (32, 32), tmp_path / 'b.onnx')
    notes = {each.key: each.value for each in onnx.load(tmp_path / 'b.onnx').metadata_props}
    assert json.loads(notes['channel_order']) == order


@pytest.mark.parametrize(
    'to, name', [('timm', 'b.onnx'), ('mmpretrain', 'b.safetensors'), ('onnx', 'b.pth')]
)
def test_a_suffix_of_another_format(tmp_path, to, name):
    with pytest.raises(ValueError, match=f'with --to {to}: its suffix is that of another format'):
        export_student('a.pth', tmp_path / name, to)


def test_every_part_is_of_stock_mmpretrain(tmp_path, monkeypatch):
    """Transforms of this package become those they stand for; others are refused."""
    checkpoint, _, _ = trained(tmp_path / 'a.pth')
    content = torch.load(checkpoint)
    whole = content['meta']['cfg'].replace(
        "type='LoadImageFromFile'", "type='LoadWholeImage', on_error='skip', color_type='color'"
    )
    content['meta']['cfg'] = whole
    torch.save(content, checkpoint)
    export_student(checkpoint, tmp_path / 'b.pth')
    loading = Config.fromfile(tmp_path / 'b.py').test_dataloader.dataset.pipeline[0]
    assert loading == dict(type='LoadImageFromFile', color_type='color')

    ours = type('OwnTransform', (), dict(__module__='mmcskd.x'))
    monkeypatch.setitem(TRANSFORMS.module_dict, 'OwnTransform', ours)
    content['meta']['cfg'] = whole.replace("type='Resize'", "type='OwnTransform'")
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=r'test_dataloader\.dataset\.pipeline\.1\.type is "OwnTr'):
        export_student(checkpoint, tmp_path / 'c.pth')
    assert not (tmp_path / 'c.pth').exists()


def test_the_classes_of_the_config_are_those_of_the_checkpoint(tmp_path):
    checkpoint, _, _ = trained(tmp_path / 'a.pth')
    text = torch.load(checkpoint)['meta']['cfg']
    moved = f"type='CustomDataset', classes={CLASSES[::-1]}"
    (tmp_path / 'config.py').write_text(text.replace("type='ClutteredDigits'", moved))
    with pytest.raises(ValueError, match='Class 0 is "class 0" in CKPT .*test_dataloader.dataset'):
        load_student(checkpoint, config=str(tmp_path / 'config.py'))


def test_averaged_and_raw_weights(tmp_path):
    checkpoint, raw, averaged = trained(tmp_path / 'a.pth', ema=True)
    assert not torch.allclose(raw(images()), averaged(images()))
    for ema, expected, said in (
        (None, averaged, 'averaged'),
        (True, averaged, 'averaged'),
        (False, raw, 'raw'),
    ):
        student = load_student(checkpoint, ema)
        assert student.weights == said
        for name, value in expected.state_dict().items():
            assert torch.equal(student.model.state_dict()[name], value), (ema, name)
        torch.testing.assert_close(student.model(images()), expected(images()))


def test_no_average_to_take(tmp_path):
    checkpoint, raw, _ = trained(tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'--ema: CKPT ".*a\.pth" has no averaged weights'):
        load_student(checkpoint, ema=True)
    assert load_student(checkpoint, ema=False).weights == 'only'
    torch.testing.assert_close(load_student(checkpoint, False).model(images()), raw(images()))


def test_command_line(tmp_path, monkeypatch, capsys):
    checkpoint, raw, averaged = trained(tmp_path / 'a.pth', ema=True)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()  # the log of the training
    tool = str(ROOT / 'tools' / 'export_student.py')
    capsys.readouterr()

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [tool, checkpoint, 'new/b.pth', *arguments])
        runpy.run_path(tool, run_name='__main__')
        return capsys.readouterr().out.splitlines(), torch.load('new/b.pth')['state_dict']

    lines, state = run('--no-ema')
    assert lines[0] == 'Weights: the raw ones, not averaged.'
    assert 'the stock logits only' in lines[1]
    assert lines[-2:] == [f'Wrote {Path("new/b.pth")}', f'Wrote {Path("new/b.py")}']
    assert all(torch.equal(state[name], value) for name, value in raw.state_dict().items())
    for choice in ([], ['--ema']):
        lines, state = run('--force', '--to', 'mmpretrain', *choice)
        assert lines[0] == 'Weights: the moving average (EMA).'
        assert all(torch.equal(state[name], value) for name, value in averaged.state_dict().items())
    with pytest.raises(
        ValueError, match=r'The file "new.b\.pth" exists: take another name or add --fo'
    ):
        run()


def test_overwriting(tmp_path):
    checkpoint, _, _ = trained(tmp_path / 'a.pth')
    (tmp_path / 'b.py').write_text('x = 1')
    with pytest.raises(ValueError, match=r'The file ".*b\.py" exists'):
        export_student(checkpoint, tmp_path / 'b.pth')
    assert not (tmp_path / 'b.pth').exists() and (tmp_path / 'b.py').read_text() == 'x = 1'
    export_student(checkpoint, tmp_path / 'b.pth', force=True)
    assert Config.fromfile(tmp_path / 'b.py').model.type == 'ImageClassifier'
    with pytest.raises(ValueError, match=r'The file ".*c\.py": "\.py" is the suffix of configs'):
        export_student(checkpoint, tmp_path / 'c.py')


def test_unknown_target(tmp_path):
    with pytest.raises(ValueError, match='--to "onx" is no target. Nearest: "onnx"'):
        export_student('a.pth', tmp_path / 'b.onnx', 'onx')


@pytest.mark.parametrize('target', ['onnx', 'safetensors'])
def test_missing_package(tmp_path, monkeypatch, target):
    monkeypatch.setattr(export.importlib.util, 'find_spec', lambda name: None)
    needed = ' '.join(export.PACKAGES[target])
    with pytest.raises(
        ValueError, match=f'--to {target} needs a package: run `pip install {needed}`'
    ):
        export_student('a.pth', tmp_path / 'b', target)


def change(path, **parts):
    """The checkpoint with something else in it."""
    content = torch.load(path)
    content.update(parts)
    torch.save(content, path)


def test_students_that_stock_mmpretrain_cannot_hold(tmp_path):
    student, ours = student_config(), dict(type='mmrazor.WindowedVisionTransformer')
    for model, message in (
        (
            dict(architecture=dict(type='TimmClassifier')),
            r'has no student to export: model\.architecture\.type is "TimmClassifier", expected "C',
        ),
        (dict(type='TimmClassifier'), r'has no student to export: model\.type is "TimmClassifier"'),
        (
            dict(architecture=dict(student, backbone=ours)),
            r'cannot build: model\.architecture\.backbone\.type is "WindowedVisionTransformer"',
        ),
        (dict(student, head=dict(type='NoHead')), r'cannot build: model\.head\.type is "NoHead"'),
        (dict(student, head=None), r'cannot build: model\.head\.type is "None"'),
    ):
        meta = dict(cfg=Config(dict(model=model)).pretty_text)
        torch.save(dict(state_dict={}, meta=meta), tmp_path / 'a.pth')
        for target in INSTALLED:
            with pytest.raises(ValueError, match=r'CKPT ".*a\.pth" .*' + message):
                export_student(str(tmp_path / 'a.pth'), tmp_path / 'b', target)
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_checkpoints_without_the_students_weights(tmp_path):
    path, student, _ = trained(tmp_path / 'a.pth')
    whole = torch.load(path)['state_dict']
    weights = {k: v for k, v in whole.items() if 'cls_token' not in k}
    for state, message in (
        ({'teacher.head.fc.weight': torch.zeros(7, 64)}, 'lacks .*"backbone.cls_token"'),
        (weights, 'lacks 1 of .*"backbone.cls_token"'),
        ({**whole, 'architecture.neck.w': torch.zeros(1)}, 'holds 1 weights .*"neck.w"'),
        (
            {**whole, 'architecture.backbone.pos_embed': torch.zeros(1, 18, 24)},
            r'"backbone.pos_embed" has shape \(1, 18, 24\), expected \(1, 66, 24\)',
        ),
    ):
        change(path, state_dict=state)
        with pytest.raises(ValueError, match=r'CKPT ".*a\.pth".*' + message):
            load_student(path)
    torch.save(student.state_dict(), path)
    with pytest.raises(ValueError, match=r'CKPT ".*a\.pth" has no "state_dict"'):
        load_student(path)
    with pytest.raises(ValueError, match=r'CKPT ".*none\.pth" cannot be read'):
        load_student(str(tmp_path / 'none.pth'))


def test_config_beside_the_checkpoint(tmp_path):
    path, student, _ = trained(tmp_path / 'a.pth')
    text = torch.load(path)['meta']['cfg']
    (tmp_path / 'config.py').write_text(text)
    change(path, meta={})
    with pytest.raises(ValueError, match='carries no config: give it with --config'):
        load_student(path)
    change(path, meta=dict(cfg='a = <function f at 0x7f>'))
    with pytest.raises(ValueError, match='no plain config .*Give the config file with --config'):
        load_student(path)
    given = load_student(path, config=str(tmp_path / 'config.py'))
    torch.testing.assert_close(given.model(images()), student(images()))
    with pytest.raises(ValueError, match=r'--config ".*other\.py" is no file'):
        load_student(path, config=str(tmp_path / 'other.py'))


def test_timm_has_no_place(tmp_path):
    path, _, _ = trained(tmp_path / 'a.pth', student_config(hidden_dim=16))
    with pytest.raises(ValueError, match=r'--to timm: .*no place for "head\.layers\.pre_logits'):
        export_student(path, tmp_path / 'b.pth', 'timm')
    assert not (tmp_path / 'b.pth').exists()


def test_saved_config_is_read_as_data(tmp_path):
    """Shipped configs come back as they were; nothing in the text is executed."""
    for name in ('cskd_deit-s_regnety.py', 'demo/cskd_vit_resnet18.py'):
        cfg = Config.fromfile(ROOT / 'configs' / name)
        assert read_saved_config(cfg.pretty_text, list(cfg)).to_dict() == cfg.to_dict(), name
    values = dict(a={'b.c': [-1e-3, float('inf'), None, (True,)], 'd': {3: "it's"}})
    assert read_saved_config(Config(values).pretty_text, ['a']).to_dict() == values

    trap = tmp_path / 'sprung'
    attack = f'__import__("pathlib").Path({str(trap)!r}).touch()'

    def text(value):
        return f'import os\n{attack}\nx = {attack}\nmodel = dict(type="A", arch=dict(b={value}))'

    found = read_saved_config(text(1), ['model'])
    assert found.to_dict() == dict(model=dict(type='A', arch=dict(b=1)))
    for evil in (attack, f'dict({attack})', f'dict(**{attack})', f'[{attack}]', '[i for i in "a"]'):
        with pytest.raises(ValueError, match=r'sets model\.arch\.b to something else than plain'):
            read_saved_config(text(evil), ['model'])
    assert not trap.exists()
