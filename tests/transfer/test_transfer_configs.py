"""The shipped configs of detection and segmentation: whole models, from a distilled backbone."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpretrain.models import DistilledVisionTransformer
from mmrazor.registry import HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from small import CONFIGS, build, detection_batch, segmentation_batch, steer

SHIPPED = sorted((CONFIGS / 'det').glob('*.py')) + sorted((CONFIGS / 'seg').glob('*.py'))
PLAIN = [path for path in SHIPPED if not path.name.startswith('cskd_')]
DENSE = [path for path in SHIPPED if path.name.startswith('cskd_')]
DEMO = [path for path in sorted((CONFIGS / 'demo').glob('*_*.py')) if 'digit' not in path.stem]


def load(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    return cfg


def batch_for(cfg):
    if cfg.default_scope == 'mmseg':
        images, samples = segmentation_batch()
    else:
        images, samples = detection_batch(masks=True)
    return images, samples


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """What `tools/export_student.py … --to backbone` writes of a DeiT-S."""
    backbone = DistilledVisionTransformer(arch='deit-small', img_size=224, out_type='raw')
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.normal_(std=0.02)
    path = tmp_path_factory.mktemp('exported') / 'backbone.pth'
    torch.save(dict(state_dict=backbone.state_dict(), meta=dict(grid=[14, 14])), path)
    return path


@pytest.mark.parametrize('path', PLAIN, ids=lambda path: path.stem)
def test_a_distilled_backbone_fills_the_model_and_it_trains(path, exported):
    cfg = load(path)
    model = build(cfg.model)
    hook = dict(cfg.custom_hooks[0], checkpoint=str(exported))
    HOOKS.build(hook).load(model)
    state, own = torch.load(exported)['state_dict'], model.backbone.state_dict()
    assert set(state) == set(own)
    for name in set(state) - {'pos_embed'}:
        assert torch.equal(state[name], own[name]), name
    side = cfg.model.backbone.img_size // 16
    assert own['pos_embed'].shape == (1, 2 + side**2, 384)
    assert torch.equal(own['pos_embed'][:, :2], state['pos_embed'][:, :2])
    back = own['pos_embed'][:, 2:].mT.unflatten(2, (side, side))
    back = torch.nn.functional.interpolate(back, (14, 14), mode='area')
    given = state['pos_embed'][:, 2:].mT.unflatten(2, (14, 14))
    similar = torch.nn.functional.cosine_similarity(back.flatten(), given.flatten(), dim=0)
    assert similar > 0.7  # the same map, resized

    if cfg.default_scope == 'mmseg':
        assert model.backbone(torch.zeros(1, 3, 64, 64))[-1].shape == (1, 384, 4, 4)

    model = revert_sync_batchnorm(model)
    losses, _ = model.parse_losses(model(*batch_for(cfg), mode='loss'))
    losses.backward()
    assert model.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('path', PLAIN, ids=lambda path: path.stem)
@pytest.mark.parametrize('distilled', [False, True])
def test_learning_rates_decay_with_depth(path, distilled):
    cfg = load(path)
    model = MODELS.build(copy.deepcopy(cfg.model))
    if distilled:
        holder = torch.nn.Module()
        holder.architecture = model
        model, prefix = holder, 'architecture.'
    else:
        prefix = ''
    wrapper = cfg.optim_wrapper.copy()
    paramwise = wrapper.pop('paramwise_cfg')
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get(wrapper.pop('constructor').split('.')[-1])
    optimizer = constructor(wrapper, paramwise)(model).optimizer
    groups = {group['param_name']: group for group in optimizer.param_groups}
    assert len(groups) == len(list(model.named_parameters()))
    rate, base = paramwise.layer_decay_rate, wrapper.optimizer.lr
    for name, group in groups.items():
        name = name[len(prefix) :]
        if name.startswith('backbone.layers.'):
            depth = int(name.split('.')[2]) + 1
        elif name.startswith('backbone.') and not name.startswith('backbone.ln1'):
            depth = 0  # patch and position embedding, class and distillation token
        else:
            depth = 13
        assert group['lr'] == pytest.approx(base * rate ** (13 - depth)), name
    for token in ('cls_token', 'dist_token', 'pos_embed', 'layers.3.attn.qkv.bias'):
        assert groups[f'{prefix}backbone.{token}']['weight_decay'] == 0
    assert groups[f'{prefix}backbone.layers.3.attn.qkv.weight']['weight_decay'] > 0


def test_a_backbone_that_knows_no_depth_is_refused():
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get('BackboneLayerDecay')
    model = torch.nn.Module()
    model.backbone = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match='Linear does not say how deep its parameters lie'):
        constructor(dict(optimizer=dict(type='SGD', lr=1.0)), dict(layer_decay_rate=0.5))(model)


@pytest.mark.parametrize('path', DENSE, ids=lambda path: path.stem)
def test_dense_cskd_takes_a_step(path):
    """With weights drawn in place of the published ones, which need a network."""
    cfg = load(path)
    assert cfg.model.teacher_ckpt.startswith('https://download.openmmlab.com/')
    config = cfg.model.copy()
    config.pop('teacher_ckpt')
    model = MODELS.build(dict(config, random_teacher=True))

    model = revert_sync_batchnorm(model)
    steer(model, 0.9)
    kinds = [hook['type'] for hook in cfg.custom_hooks]
    assert kinds == ['mmrazor.DistilledInitHook', 'mmrazor.CKFHook']
    losses = model(*batch_for(cfg), mode='loss')
    assert torch.isfinite(losses['loss_cskd']) and float(losses['loss_cskd'].detach()) > 0
    losses['loss_cskd'].backward()
    backbone = model.architecture.backbone
    assert backbone.patch_embed.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('path', DEMO, ids=lambda path: path.stem)
def test_the_demos_models_build(path):
    config = load(path).model.copy()
    if config.pop('teacher_ckpt', None):
        config['random_teacher'] = True
    MODELS.build(config)
