"""Stock models of every family as the student, named by their stock configs."""

import contextlib
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmpretrain import get_model
from mmpretrain.registry import MODELS
from models import (
    NUM_CLASSES,
    algorithm_config,
    batch,
    build,
    distiller_config,
    respond_slowly,
)

from mmcskd import CSKDClassifier, PatchTokenConnector, PatchTokenRecorder
from mmcskd.export.export_student import export_student
from mmcskd.student.find_tokens import find_tokens
from mmcskd.student.stock_model import stock_model

VIT = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
SMALL = dict(arch=VIT, img_size=32, patch_size=4)
NARROW = dict(in_channels=24)
WIDE = dict(in_channels=64)
SWIN = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4])
TWINS = dict(
    **dict(embed_dims=[8, 16, 24, 32], depths=[1] * 4, num_heads=[1, 2, 2, 4]),
    **dict(patch_sizes=[4, 2, 2, 2], strides=[4, 2, 2, 2], mlp_ratios=[2] * 4),
    sr_ratios=[8, 4, 2, 1],
)
TNT = dict(num_layers=2, num_heads_outer=2, num_heads_inner=2)
TNT.update(embed_dims_outer=24, embed_dims_inner=8)
MIXER = dict(embed_dims=24, num_layers=2, tokens_mlp_dims=16, channels_mlp_dims=48)
POOL = dict(layers=[1, 1, 1, 1], embed_dims=[8, 16, 24, 32], mlp_ratios=[2, 2, 2, 2])
POOL['layer_scale_init_value'] = 1e-5
MVIT = dict(embed_dims=12, num_layers=4, num_heads=1, downscale_indices=[1, 2, 3])

# name: stock config, changes of the backbone, of the head, image, source, extra tokens, grid
# fmt: off
FAMILIES = {
    'vit': ('vision_transformer/vit-base-p16_32xb128-mae_in1k', SMALL, NARROW,
            (32, 48), 'ln1', 1, (8, 12)),
    'deit': ('deit/deit-small_4xb256_in1k', SMALL, NARROW, (48, 32), 'ln1', 1, (12, 8)),
    'deit-distilled': ('deit/deit-small-distilled_4xb256_in1k', SMALL, NARROW,
                       (32, 32), 'ln1', 2, (8, 8)),
    'deit3': ('deit3/deit3-small-p16_64xb64_in1k', SMALL, NARROW, (32, 48), 'ln1', 1, (8, 12)),
    'mae': ('mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k', dict(SMALL, init_cfg=None),
            NARROW, (32, 32), 'layers.1', 1, (8, 8)),
    'beit': ('beit/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k', dict(SMALL, init_cfg=None),
             NARROW, (32, 32), 'layers.1', 1, (8, 8)),
    'eva02': ('eva02/eva02-tiny-p14_in1k', SMALL, NARROW, (32, 32), 'layers.1', 1, (8, 8)),
    'revvit': ('revvit/revvit-small_8xb256_in1k', SMALL, dict(in_channels=48),
               (32, 32), 'fusion_layer', 0, (8, 8)),
    'xcit': ('xcit/xcit-nano-12-p16_8xb128_in1k', dict(depth=2), {}, (64, 96), 'norm', 1, (4, 6)),
    't2t': ('t2t_vit/t2t-vit-t-14_8xb64_in1k', dict(num_layers=2, img_size=64), {},
            (64, 96), 'norm', 1, (4, 6)),
    'tnt': ('tnt/tnt-s-p16_16xb64_in1k', dict(img_size=64, arch=TNT), NARROW,
            (64, 64), 'norm', 1, (4, 4)),
    'mixmim': ('mixmim/benchmarks/mixmim-base_8xb128-coslr-100e_in1k',
               dict(img_size=64, window_size=[2, 2, 2, 2], arch=SWIN, init_cfg=None), WIDE,
               (64, 64), 'norm', 0, (2, 2)),
    'swin': ('swin_transformer/swin-tiny_16xb64_in1k',
             dict(arch=SWIN, img_size=128, window_size=2), WIDE, (128, 192), '', 0, (4, 6)),
    'swinv2': ('swin_transformer_v2/swinv2-tiny-w8_16xb64_in1k-256px',
               dict(arch=dict(SWIN, extra_norm_every_n_blocks=0), img_size=128,
                    window_size=[4, 4, 4, 4]), WIDE, (128, 128), '', 0, (4, 4)),
    'pcpvt': ('twins/twins-pcpvt-small_8xb128_in1k', dict(arch=TWINS), dict(in_channels=32),
              (128, 192), '', 0, (4, 6)),
    'svt': ('twins/twins-svt-small_8xb128_in1k', dict(arch=dict(TWINS, window_sizes=[7] * 4)),
            dict(in_channels=32), (128, 192), '', 0, (4, 6)),
    'mvit': ('mvit/mvitv2-tiny_8xb256_in1k', dict(arch=MVIT, img_size=64), dict(in_channels=96),
             (64, 64), '', 0, (2, 2)),
    'davit': ('davit/davit-tiny_4xb256_in1k', dict(arch=SWIN, window_size=2), WIDE,
              (128, 192), '', 0, (4, 6)),
    'mobilevit': ('mobilevit/mobilevit-xxsmall_8xb128_in1k', {}, {}, (64, 96), '', 0, (2, 3)),
    'levit': ('levit/levit-128s_8xb256_in1k', dict(img_size=64), {}, (64, 64), '', 0, (1, 1)),
    'tinyvit': ('tinyvit/tinyvit-5m_8xb256_in1k',
                dict(img_size=(128, 128), window_size=[4, 4, 4, 4]), {},
                (128, 128), 'stages.3', 0, (4, 4)),
    'efficientformer': ('efficientformer/efficientformer-l1_8xb128_in1k', {}, {},
                        (224, 224), '', 0, (7, 7)),
    'poolformer': ('poolformer/poolformer-s12_32xb128_in1k', dict(arch=POOL), dict(in_channels=32),
                   (96, 128), '', 0, (3, 4)),
    'riformer': ('riformer/riformer-s12_8xb128_in1k', dict(arch=POOL), dict(in_channels=32),
                 (96, 128), '', 0, (3, 4)),
    'hivit': ('hivit/hivit-tiny-p16_16xb64_in1k', dict(img_size=64), {}, (64, 64), '', 0, (4, 4)),
    'conformer': ('conformer/conformer-tiny-p16_8xb128_in1k', {}, {},
                  (64, 96), 'trans_norm', 1, (4, 6)),
    'edgenext': ('edgenext/edgenext-xxsmall_8xb256_in1k', {}, {},
                 (64, 96), 'stages.3', 0, (2, 3)),
    'vig': ('vig/pvig-tiny_8xb128_in1k', {}, {}, (224, 224), '', 0, (7, 7)),
    'mixer': ('mlp_mixer/mlp-mixer-base-p16_64xb64_in1k',
              dict(arch=MIXER, img_size=(32, 48), patch_size=8), NARROW,
              (32, 48), '', 0, (4, 6)),
}
# fmt: on


def stock_of(name):
    """Path and changes of a family's stock model in small."""
    path, backbone, head, *_ = FAMILIES[name]
    if 'arch' in backbone:
        backbone = dict(backbone, arch=dict(backbone['arch'], _delete_=True))
    return f'mmpretrain::{path}.py', dict(
        backbone=dict(copy.deepcopy(backbone)),
        head=dict(head, num_classes=NUM_CLASSES),
        init_cfg=None,
    )


def student_of(name, **parts):
    path, changes = stock_of(name)
    return dict(type='mmpretrain.CSKDClassifier', cfg_path=path, **changes, **parts)


def wake(model):
    """Draw what starts at zero, which would pass no gradient on at first; no path is dropped."""
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    for module in model.modules():
        if hasattr(module, 'drop_prob') and isinstance(module.drop_prob, float):
            module.drop_prob = 0.0
    return model


def images_of(name, n=2):
    return batch(n, *FAMILIES[name][3])


def read(model, images):
    recorder = PatchTokenRecorder()
    recorder.initialize(model)
    with recorder:
        model(images, mode='tensor')
    return recorder.get_record_data()


# Of each layout of tokens and each place of their norm; the other families are more of the same.
QUICK = ('vit', 'deit-distilled', 'beit', 'swin', 'pcpvt', 'tinyvit', 'mixer')


@pytest.mark.parametrize(
    'name', [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES if n not in QUICK)]
)
def test_step(name):
    """Shapes and grid, stock logits and base loss, a gradient for every weight that learns."""
    *_, source, extra, grid = FAMILIES[name]
    algorithm = wake(
        build(
            algorithm_config(
                architecture=student_of(name),
                distiller=distiller_config(deit=False, fusion_weight=0.5),
            )
        )
    )
    student = algorithm.student
    assert isinstance(student, CSKDClassifier)
    assert find_tokens(student) == ('backbone.' + source).rstrip('.')
    images, samples = images_of(name)

    student.eval()
    with torch.no_grad():
        tokens = read(student, images)
        size = grid[0] * grid[1]
        assert tokens.tokens.shape == (2, extra + size, student.width)
        assert (tokens.num_extra_tokens, tokens.grid) == (extra, grid)
        patch = tokens.tokens[:, extra:].mean(1)
        score = student(images)
        student.vote = student.stock_vote
        stock = MODELS.build(stock_model(*stock_of(name))).eval()
        own = {k: v for k, v in student.state_dict().items() if not k.startswith('head_dist.')}
        # Swin V2 leaves tables out of its state, which it computes: not even its own is complete.
        complete = stock.load_state_dict(stock.state_dict(), strict=False)
        assert stock.load_state_dict(own, strict=False) == complete
        logits, expected = student(images), stock(images)
        if name == 'conformer':
            logits, expected = sum(logits), sum(expected)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
        if name not in OWN:
            average = (logits + student.distillation_logits(patch)) / 2
            torch.testing.assert_close(score, average, atol=1e-5, rtol=0)

    algorithm.train()
    losses = algorithm(images, samples, mode='loss')
    assert set(losses) == {'loss_base', 'loss_cskd', 'agreement'}
    sum(losses.values()).backward()
    learning = {n: p for n, p in student.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learning.values()), [
        n for n, p in learning.items() if p.grad is None
    ]
    assert learning[HEADS.get(name, 'head_dist.weight')].grad.any()


# Stock heads with a distillation head, which learns, and with it a stock score of more voters.
HEADS = {
    'deit-distilled': 'head.layers.head_dist.weight',
    'efficientformer': 'head.dist_head.weight',
    'levit': 'head.head_dist.linear.weight',
}
OWN = set(HEADS)


def vit_tokens(model, images):
    backbone = model.backbone
    x = backbone.patch_embed.projection(images)
    grid = tuple(x.shape[2:])
    seen = {}
    handle = backbone.layers[-1].register_forward_hook(lambda m, i, o: seen.update(last=o))
    backbone(images)
    handle.remove()
    return backbone.ln1(seen['last'])[:, 1:], grid


def map_tokens(model, images):
    last = model.backbone(images)[-1]
    height, width = last.shape[2:]
    rows = [last[:, :, i, j] for i in range(height) for j in range(width)]
    return torch.stack(rows, dim=1), (height, width)


@pytest.mark.parametrize(
    'name, plainly', [('vit', vit_tokens), ('swin', map_tokens), ('poolformer', map_tokens)]
)
@pytest.mark.parametrize('size', [(2, 2), (3, 5), (1, 1)])
def test_response(name, plainly, size):
    """z_s against the distillation head on every token, then the mean of each cell."""
    model = wake(build(student_of(name))).eval()
    images, _ = images_of(name)
    with torch.no_grad():
        response = PatchTokenConnector(grid=size)(read(model, images))
        tokens, grid = plainly(model, images)
        expected = respond_slowly(tokens, 0, grid, model.head_dist, size)
    torch.testing.assert_close(response, expected)


@pytest.mark.parametrize('name', ['beit', 'tinyvit', 'edgenext'])
def test_norm_behind_the_pooling(name):
    """Tokens of one cell that covers the image answer as the stock head's own pooled feature."""
    model = wake(build(student_of(name))).eval()
    images, _ = images_of(name)
    with torch.no_grad():
        response = PatchTokenConnector(grid=(1, 1))(read(model, images))[:, :, 0, 0]
        expected = model.head_dist(model.extract_feat(images)[-1])
    torch.testing.assert_close(response, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('name', ['deit-distilled', 'efficientformer', 'levit'])
def test_own_distillation_head(name):
    """Base loss on the class head alone; the other learns from the teacher only."""
    model = wake(build(student_of(name))).train()
    images, samples = images_of(name)
    model(images, samples, mode='loss')['loss'].backward()
    named = dict(model.named_parameters())
    assert named[HEADS[name]].grad is None
    assert named[HEADS[name].replace('_dist', '').replace('dist_', '')].grad.any()
    assert not any(n.startswith('head_dist.') for n in named)


def test_voters():
    model = wake(build(student_of('swin'))).eval()
    images, _ = images_of('swin')
    with torch.no_grad():
        both, scores = model(images), {}
        for voter in ('cls', 'patch'):
            model.vote = (voter,)
            scores[voter] = model(images)
        torch.testing.assert_close(both, (scores['cls'] + scores['patch']) / 2)
        predicted = torch.stack([s.pred_score for s in model(images, mode='predict')])
    torch.testing.assert_close(predicted, scores['patch'].softmax(1))
    assert not torch.allclose(scores['cls'], scores['patch'])


def test_averaged_copy_reads_its_own_tokens():
    model = wake(build(student_of('swin'))).eval()
    images, _ = images_of('swin')
    average = ExponentialMovingAverage(model).eval()
    with torch.no_grad():
        before = average(images)
        assert torch.equal(before, model(images))
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(average(images), before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.nn.Module, 'compile'), reason='needs torch >= 2.2')
@pytest.mark.parametrize('name', ['vit', 'swin'])
def test_compiled(name):
    """Captured and run by the eager backend: the hooks survive capture."""
    config = algorithm_config(
        architecture=student_of(name), distiller=distiller_config(deit=False, fusion_weight=0.5)
    )
    plain = wake(build(config))
    compiled = build(dict(config, compile=dict(student=dict(backend='eager'))))
    compiled.load_state_dict(plain.state_dict())
    compiled.teacher.load_state_dict(plain.teacher.state_dict())
    images, samples = images_of(name)
    for mode in (True, False):
        plain.train(mode), compiled.train(mode)
        wake(compiled)
        ours, theirs = (
            model(images, copy.deepcopy(samples), mode='loss') for model in (compiled, plain)
        )
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(compiled.student(images), plain.student(images))


@pytest.mark.parametrize(
    'name', ['swin', 'deit3', pytest.param('efficientformer', marks=pytest.mark.slow)]
)
def test_export(name, tmp_path):
    """A stock config and stock weights, which load strictly and answer as the stock voters do."""
    algorithm = wake(
        build(
            algorithm_config(architecture=student_of(name), distiller=distiller_config(deit=False))
        )
    )
    cfg = Config(dict(model=dict(type='FrozenTeacherDistill', architecture=student_of(name))))
    checkpoint = tmp_path / 'epoch_1.pth'
    meta = dict(cfg=cfg.pretty_text)
    torch.save(dict(state_dict=algorithm.state_dict(), meta=meta), checkpoint)
    out = tmp_path / 'student.pth'
    lines = export_student(str(checkpoint), str(out))
    assert any(line.startswith('Score: the stock logits') for line in lines)

    text = out.with_suffix('.py').read_text()
    assert 'CSKD' not in text and 'cfg_path' not in text and 'mmcskd' not in text
    exported = MODELS.build(Config.fromfile(out.with_suffix('.py')).model).eval()
    assert type(exported).__name__ == 'ImageClassifier'
    exported.load_state_dict(torch.load(out, weights_only=True)['state_dict'], strict=True)
    student = algorithm.student.eval()
    student.vote = student.stock_vote
    images, _ = images_of(name)
    with torch.no_grad():
        expected = student(images)
        torch.testing.assert_close(exported(images), expected)
        loaded = get_model(str(out.with_suffix('.py')), pretrained=str(out)).eval()
        torch.testing.assert_close(loaded(images), expected)


@pytest.fixture
def swin_checkpoint(tmp_path):
    pipeline = [dict(type='CenterCrop', crop_size=128)]
    cfg = dict(
        model=dict(architecture=student_of('swin')),
        test_dataloader=dict(dataset=dict(type='ImageNet', pipeline=pipeline)),
    )
    model = wake(build(student_of('swin'))).eval()
    path = tmp_path / 'swin.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=Config(cfg).pretty_text)), path)
    return model, str(path)


@pytest.mark.slow
def test_onnx_of_any_batch(swin_checkpoint, tmp_path):
    for package in ('onnx', 'onnxscript'):
        pytest.importorskip(package)
    runtime = pytest.importorskip('onnxruntime')
    model, checkpoint = swin_checkpoint
    out = tmp_path / 'swin.onnx'
    export_student(checkpoint, str(out), to='onnx')
    session = runtime.InferenceSession(str(out))
    for n in (1, 3):
        images = torch.randn(n, 3, 128, 128)
        (logits,) = session.run(None, dict(images=images.numpy()))
        torch.testing.assert_close(torch.from_numpy(logits), model(images), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6), reason='another exporter'
)
def test_onnx_of_one_batch_is_refused(swin_checkpoint, tmp_path, monkeypatch):
    """As it is without the bridge: the file would answer, wrongly."""
    for package in ('onnx', 'onnxscript'):
        pytest.importorskip(package)
    monkeypatch.setattr('mmcskd.export.export_student.bridge_window_batch', contextlib.nullcontext)
    with pytest.raises(ValueError, match='SwinTransformer ties what it computes to the size of'):
        export_student(swin_checkpoint[1], str(tmp_path / 'swin.onnx'), to='onnx')
    assert not (tmp_path / 'swin.onnx').exists()


def test_timm_has_no_place_for_it(tmp_path):
    cfg = Config(dict(model=dict(architecture=student_of('swin'))))
    state = {f'architecture.{k}': v for k, v in build(student_of('swin')).state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='--to timm: SwinTransformer has other weights'):
        export_student(str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'), to='timm')


def test_config_of_a_stranger_is_not_executed(tmp_path):
    trap = tmp_path / 'trap.py'
    trap.write_text("raise RuntimeError('executed')")
    cfg = Config(dict(model=dict(type='CSKDClassifier', cfg_path=str(trap))))
    torch.save(dict(state_dict={}, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match="not one of MMPretrain's. Give the config.*--config"):
        export_student(str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'))


def test_source_of_another_width():
    model = build(student_of('vit', source='backbone.layers.0.attn.qkv'))
    with pytest.raises(
        ValueError, match=r'model\.architecture\.source.*gave \(2, 97, 72\), expected'
    ):
        model(images_of('vit')[0])


@pytest.mark.parametrize(
    'parts, message',
    [
        (dict(vote=['clss']), r'model\.architecture\.vote: "clss" has no vote'),
        (dict(vote='dist'), r'model\.architecture\.vote: "dist" has no vote'),
        (
            dict(source='backbone.ln3'),
            r'model\.architecture\.source: "backbone.ln3" .*"backbone.ln1"',
        ),
        (
            dict(cfg_path='mmpretrain::no/such.py'),
            r'cfg_path="mmpretrain::no/such\.py" cannot be read',
        ),
        (
            dict(cfg_path='mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'),
            r'model of type "MAE", expected "ImageClassifier"',
        ),
        (dict(head=None), r'needs a head: set model\.architecture\.head'),
        (dict(head=dict(_delete_=True, type='ClsHead')), r'ClsHead has no in_channels'),
        (
            dict(backbone=dict(_delete_=True, type='VGG', depth=11, num_classes=7)),
            r'VGG\) has no patch tokens.*model\.architecture\.source',
        ),
    ],
)
def test_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({**student_of('vit'), **parts})
