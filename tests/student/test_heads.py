import pytest
import torch
from models import NUM_CLASSES, batch, build, student_config
from torch.nn import functional as F


def votes(model, images):
    """Every token's logits, without a shortcut."""
    head, tokens = model.head, model.backbone(images)[-1]
    extra = model.backbone.num_extra_tokens
    single = dict(
        cls=head.layers.head(tokens[:, 0]),
        patch=head.layers.head_dist(tokens[:, extra:]).mean(dim=1),
    )
    if extra == 2:
        single['dist'] = head.layers.head_dist(tokens[:, 1])
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
    assert model.head.layers.head_dist.weight.grad is None


def test_hidden_layer():
    model = build(student_config(hidden_dim=16)).eval()
    images, _ = batch()
    layers, tokens = model.head.layers, model.backbone(images)[-1]

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


def test_weights_have_the_stock_names():
    config = student_config()
    ours = build(config).state_dict()
    config['backbone']['out_type'] = 'cls_token'
    config['head'] = dict(type='DeiTClsHead', num_classes=NUM_CLASSES, in_channels=24)
    stock = build(config)
    assert set(ours) == set(stock.state_dict())
    stock.load_state_dict(ours)
    images, _ = batch()
    voting = student_config(vote=['cls', 'dist'])
    model = build(voting).eval()
    model.load_state_dict(ours)
    torch.testing.assert_close(stock.eval()(images), model(images))


@pytest.mark.parametrize(
    'dist_token, vote, message',
    [
        (True, ['clss'], r'head\.vote of CSKDDeiTHead: "clss" has no vote. Nearest: "cls"'),
        (False, ['dist'], r'head\.vote of CSKDViTHead: "dist" has no vote'),
        (True, [], r'head\.vote of CSKDDeiTHead is \(\), expected'),
        (True, ['cls', 'cls'], r"head\.vote of CSKDDeiTHead is \('cls', 'cls'\)"),
    ],
)
def test_bad_vote(dist_token, vote, message):
    with pytest.raises(ValueError, match=message):
        build(student_config(dist_token, vote=vote))


def test_backbone_that_keeps_its_tokens():
    config = student_config()
    config['backbone']['out_type'] = 'cls_token'
    with pytest.raises(ValueError, match=r'model\.architecture\.backbone\.out_type="raw"'):
        build(config)(batch()[0])
