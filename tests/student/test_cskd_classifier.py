"""Votes, base loss and fine-tuning of a student, written out token by token."""

import copy

import pytest
import torch
from models import batch, build, student_config, tokens_of
from torch.nn import functional as F


def dist_layer(model):
    """The distillation head: the stock head's own, or the one that is added."""
    layers = model.head.layers
    return layers.head_dist if hasattr(layers, 'head_dist') else model.head_dist


def votes(model, images):
    """Every token's logits, without a shortcut."""
    tokens, head_dist = tokens_of(model, images), dist_layer(model)
    extra = model.backbone.num_extra_tokens
    single = dict(
        cls=model.head.layers.head(tokens[:, 0]),
        patch=head_dist(tokens[:, extra:]).mean(dim=1),
    )
    if extra == 2:
        single['dist'] = head_dist(tokens[:, 1])
    return single


@pytest.mark.parametrize('dist_token', [True, False])
def test_score_is_the_mean_of_all(dist_token):
    model = build(student_config(dist_token)).eval()
    images, _ = batch()
    single = votes(model, images)
    assert len(single) == 2 + dist_token
    torch.testing.assert_close(model(images), torch.stack(list(single.values())).mean(0))


@pytest.mark.parametrize('vote', [['cls'], ['dist'], ['patch'], ['cls', 'dist'], 'patch'])
def test_who_votes(vote):
    model = build(student_config(vote=vote)).eval()
    images, _ = batch()
    single = votes(model, images)
    chosen = [vote] if isinstance(vote, str) else vote
    expected = torch.stack([single[voter] for voter in chosen]).mean(0)
    torch.testing.assert_close(model(images), expected)
    scores = torch.stack([s.pred_score for s in model(images, mode='predict')])
    torch.testing.assert_close(scores, expected.softmax(1))


@pytest.mark.parametrize('dist_token', [True, False])
def test_base_loss_is_on_the_class_token(dist_token):
    model = build(student_config(dist_token))
    images, samples = batch()
    loss = model(images, samples, mode='loss')['loss']
    labels = torch.cat([s.gt_label for s in samples])
    torch.testing.assert_close(loss, 0.5 * F.cross_entropy(votes(model, images)['cls'], labels))
    loss.backward()
    assert model.head.layers.head.weight.grad.abs().sum() > 0
    assert dist_layer(model).weight.grad is None


def test_hidden_layer():
    model = build(student_config(hidden_dim=16)).eval()
    images, _ = batch()
    layers, tokens = model.head.layers, tokens_of(model, images)

    def hidden(token):
        return torch.tanh(layers.pre_logits(token))

    expected = torch.stack(
        [
            layers.head(hidden(tokens[:, 0])),
            layers.head_dist(hidden(tokens[:, 1])),
            layers.head_dist(hidden(tokens[:, 2:].mean(1))),
        ]
    ).mean(0)
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize('dist_token', [True, False])
def test_weights_have_the_stock_names(dist_token):
    config = student_config(dist_token, vote=['cls', 'dist'] if dist_token else 'cls')
    model = build(config).eval()
    config.pop('vote')
    stock = build(dict(config, type='ImageClassifier')).eval()
    ours = {k: v for k, v in model.state_dict().items() if not k.startswith('head_dist.')}
    stock.load_state_dict(ours, strict=True)
    images, _ = batch()
    torch.testing.assert_close(stock(images), model(images))


def test_weights_of_a_vit_head_of_release_0_1():
    """Its distillation head was part of the head, whatever lies around the student."""
    model, other = (build(student_config(dist_token=False)) for _ in range(2))
    old = {f'module.{k}': v for k, v in model.state_dict().items()}
    for name in ('weight', 'bias'):
        old[f'module.head.layers.head_dist.{name}'] = old.pop(f'module.head_dist.{name}')
    given = dict(old)
    torch.nn.ModuleDict(dict(module=other)).load_state_dict(old, strict=True)
    assert old == given  # the caller's own is not renamed
    images, _ = batch()
    assert torch.equal(other.eval()(images), model.eval()(images))


@pytest.mark.parametrize('vote', [['cls', 'dist'], ['cls', 'patch'], None])
def test_finetuning_by_labels(vote):
    """What meets the labels is the score, and so every weight learns."""
    model = build(dict(student_config(vote=vote), finetune=True)).train()
    images, samples = batch()
    loss = model(images, copy.deepcopy(samples), mode='loss')['loss']
    single = votes(model, images)
    score = torch.stack([single[voter] for voter in vote or single]).mean(0)
    labels = torch.cat([s.gt_label for s in samples])
    torch.testing.assert_close(loss, 0.5 * F.cross_entropy(score, labels))
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    torch.testing.assert_close(model.eval()(images), score)


@pytest.mark.parametrize('vote', [['cls'], ['dist', 'patch']])
def test_finetuning_of_one_head_alone(vote):
    config = dict(student_config(vote=vote), finetune=True)
    with pytest.raises(ValueError, match=r'model\.vote is .* one of the two heads would learn no'):
        build(config)


@pytest.mark.parametrize(
    'dist_token, vote, message',
    [
        (True, ['clss'], r'architecture\.vote: "clss" has no vote. Nearest: "cls"'),
        (False, ['dist'], r'architecture\.vote: "dist" has no vote'),
        (True, [], r'architecture\.vote is \(\), expected'),
        (True, ['cls', 'cls'], r"architecture\.vote is \('cls', 'cls'\)"),
    ],
)
def test_bad_vote(dist_token, vote, message):
    with pytest.raises(ValueError, match=message):
        build(student_config(dist_token, vote=vote))


def test_backbone_that_gives_all_tokens():
    """The stock DeiT head would take a batch of two for a class and a distillation token."""
    config = student_config()
    config['backbone']['out_type'] = 'raw'
    with pytest.raises(
        ValueError, match=r'DeiTClsHead takes the class token.*backbone\.out_type is "raw"'
    ):
        build(config)
