"""What the comparison tries beyond the paper does what it says."""

from types import SimpleNamespace

import arms
import beyond
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS as CLASSIFIERS

from mmcskd import CSKDLoss


def responses(n=3, classes=5, grid=(2, 4)):
    torch.manual_seed(0)
    return torch.randn(n, classes, *grid), torch.randn(n, classes, *grid), torch.randn(n, classes)


def test_confidence():
    """Cross entropy times the fused response's largest probability, over the sum of these."""
    student, spatial, whole = responses()
    loss = beyond.ConfidenceCSKDLoss(fusion_weight=0.3, loss_weight=2.0)
    found = loss(student, spatial, whole)
    fused = (0.3 * spatial + 0.7 * whole[..., None, None]).softmax(1)
    weights, classes = fused.max(1)
    losses = F.cross_entropy(student, classes, reduction='none')
    torch.testing.assert_close(found, 2 * (losses * weights).sum() / weights.sum())
    assert found != 2 * losses.mean()


def test_confidence_that_is_even_changes_nothing():
    student, spatial, whole = responses()
    spatial, whole = torch.zeros_like(spatial), torch.zeros_like(whole)
    spatial[:, 1] = whole[:, 1] = 1.0
    losses = [
        kind(fusion_weight=0.3)(student, spatial, whole)
        for kind in (beyond.ConfidenceCSKDLoss, CSKDLoss)
    ]
    torch.testing.assert_close(*losses)


def test_mixture():
    """The mean over fusion weights of the hard loss; no hook sets one."""
    student, spatial, whole = responses()
    loss = beyond.MixtureCSKDLoss(steps=4, loss_weight=2.0)
    parts = [
        CSKDLoss(fusion_weight=weight, loss_weight=2.0)(student, spatial, whole)
        for weight in (0.125, 0.375, 0.625, 0.875)
    ]
    assert len(set(map(float, parts))) > 1
    for _ in range(2):
        torch.testing.assert_close(loss(student, spatial, whole), sum(parts) / 4)
    assert loss.agreement.dim() == 0


def test_weight_follows_agreement():
    """From 1 by chance, by the average of what the loss says, to 0 where they agree throughout."""
    hook = beyond.AgreementCKFHook(num_classes=4, momentum=0.5)
    loss = CSKDLoss()
    hook.losses = [loss]
    told = []
    hub = SimpleNamespace(update_scalar=lambda name, value: told.append(value))
    runner = SimpleNamespace(iter=0, max_iters=10, message_hub=hub)
    hook.before_train_iter(runner, 0)
    assert told == [1.0] and loss.fusion_weight == 1.0
    for agreement in (0.75, 1.0, 0.0):
        loss.agreement = torch.tensor(agreement)
        hook.after_train_iter(runner, 0)
        hook.before_train_iter(runner, 0)
    averages = (0.5, 0.75, 0.375)
    assert told[1:] == pytest.approx([1 - (a - 0.25) / 0.75 for a in averages])
    hook.agreement = 0.1
    hook.before_train_iter(runner, 0)
    assert loss.fusion_weight == 1.0


def test_two_teachers_respond_by_their_mean(tmp_path):
    """Joined into one network, at each location and as a whole."""
    cfg = arms.Run('plain', arms.TWO_TEACHERS, 0).config(tmp_path).model
    one = arms.Run('plain', 'none', 0).config(tmp_path).model.teacher
    torch.manual_seed(0)
    teachers = [CLASSIFIERS.build(one).eval() for _ in range(2)]
    joined = CLASSIFIERS.build(cfg.teacher).eval()
    joined.load_state_dict(beyond.side_by_side([each.state_dict() for each in teachers]))
    images = torch.randn(4, 3, 16, 16)

    def local(model):
        features = model.backbone(images)[-1]
        return model.head.fc(features.movedim(1, -1))

    with torch.no_grad():
        for response in (local, lambda model: model(images, mode='tensor')):
            first, second = map(response, teachers)
            assert not torch.allclose(first, second)
            torch.testing.assert_close(response(joined), (first + second) / 2)
