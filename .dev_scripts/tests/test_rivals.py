"""Losses of other ways to distil, against their formulas written out."""

import arms
import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from mmrazor.models.losses import DKDLoss
from mmrazor.registry import MODELS
from rivals import (
    ClassTokenConnector,
    DecouplingConnector,
    MixedDKDLoss,
    NormalisedFeatureLoss,
    OrthogonalConnector,
    PatchFeatureConnector,
    RSDLoss,
)
from tool_runs import ROOT
from torch.nn.functional import one_hot

from mmcskd.student.token_source import PatchTokens


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_tokens_go_to_their_places():
    tokens = draw(2, 2 + 6, 4)
    record = PatchTokens(tokens, 2, (2, 3), lambda token: token)
    torch.testing.assert_close(ClassTokenConnector()(record), tokens[:, 0])
    places = PatchFeatureConnector()(record)
    assert places.shape == (2, 2, 3, 4)
    torch.testing.assert_close(places[:, 1, 0], tokens[:, 2 + 3])
    mean = PatchFeatureConnector(grid=(1, 1))(record)
    torch.testing.assert_close(mean[:, 0, 0], tokens[:, 2:].mean(1))


@pytest.mark.parametrize('widths', [(6, 6), (6, 4), (4, 6)])
def test_projection_stays_orthogonal(widths):
    """While it learns: of a weight that widens the columns, of one that narrows the rows."""
    torch.manual_seed(0)
    connector = OrthogonalConnector(*widths)
    optimizer = torch.optim.SGD(connector.parameters(), 0.5)
    before = connector.linear.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        connector(draw(5, widths[0])).sub(draw(5, widths[1], seed=1)).square().sum().backward()
        optimizer.step()
    weight = connector.linear.weight.detach()
    product = weight @ weight.T if widths[1] <= widths[0] else weight.T @ weight
    torch.testing.assert_close(product, torch.eye(min(widths)), atol=1e-5, rtol=0)
    assert (weight - before).abs().max() > 0.1
    plain = OrthogonalConnector(*widths, orthogonal=False)
    torch.testing.assert_close(
        plain(draw(3, widths[0])), draw(3, widths[0]) @ plain.linear.weight.T
    )


@pytest.mark.parametrize('grid', [(2, 3), (1, 1)])
def test_features_match_the_normalised_map(grid):
    student, teacher = draw(2, *grid, 5), draw(2, 5, 2, 3, seed=1)
    expected = 0.0
    for image in range(2):
        for row in range(grid[0]):
            for column in range(grid[1]):
                whole = grid == (1, 1)
                feature = teacher[image].mean((1, 2)) if whole else teacher[image, :, row, column]
                scale = (feature.var(unbiased=False) + 1e-5).sqrt()
                gap = (student[image, row, column] - (feature - feature.mean()) / scale).abs()
                expected += torch.where(gap < 1, gap**2 / 2, gap - 0.5).sum()
    loss = NormalisedFeatureLoss(loss_weight=3.0)(student, teacher)
    torch.testing.assert_close(loss, 3 * expected / student.numel())


def test_rsd_is_the_distance_of_the_correlations_from_the_identity():
    student, teacher = draw(8, 3), draw(8, 3, 2, 2, seed=1)
    pooled = teacher.mean((2, 3))
    expected = 0.0
    for own in range(3):
        for other in range(3):
            r = torch.corrcoef(torch.stack([student[:, own], pooled[:, other]]))[0, 1]
            expected += (r - 1) ** 2 if own == other else 0.25 * r**2
    loss = RSDLoss(kappa=0.25, loss_weight=2.0)(student, teacher)
    torch.testing.assert_close(loss, 2 * expected / 3, atol=1e-4, rtol=1e-4)
    # The teacher's own features, which no other resembles, are the best answer.
    alone = torch.eye(4)[:, :3].sub(0.25)
    assert RSDLoss(kappa=0.0)(alone, alone[..., None, None]) < 1e-6


def test_decoupling_changes_the_width():
    assert DecouplingConnector(4, 6)(draw(2, 4)).shape == (2, 6)


def test_dkd_takes_the_class_with_most_of_a_mixed_image():
    student, teacher, classes = draw(4, 5), draw(4, 5, seed=1), torch.tensor([0, 3, 1, 4])
    mixed = 0.6 * one_hot(classes, 5) + 0.4 * one_hot(torch.tensor([1, 1, 2, 2]), 5)
    expected = DKDLoss(beta=2.0)(student, teacher, classes)
    torch.testing.assert_close(MixedDKDLoss(beta=2.0)(student, teacher, mixed), expected)
    torch.testing.assert_close(MixedDKDLoss(beta=2.0)(student, teacher, classes), expected)


def test_the_answer_is_what_the_shipped_recipe_trains(tmp_path):
    """The arm's distiller, loss by loss; its other weight of the features is what was tuned."""
    arm = arms.Run('plain', arms.ANSWER, 0).config(tmp_path).model.distiller.to_dict()
    shipped = Config.fromfile(ROOT / 'configs' / 'cskd-features_deit-ti_regnety.py')
    assert not any(hook['type'].endswith('CKFHook') for hook in shipped.custom_hooks)
    ours = shipped.model.distiller.to_dict()
    for name, loss in ours['distill_losses'].items():
        assert arm['distill_losses'][name].items() >= loss.items(), name
    for part in ('connectors', 'loss_forward_mappings', 'student_recorders', 'teacher_recorders'):
        assert arm[part] == ours[part], part


def test_soft_everywhere_is_what_the_shipped_recipe_trains(tmp_path):
    """The arm says DeiT's soft loss times its classes, the recipe the divergence itself."""
    arm = arms.Run('plain', 'cskd_everywhere', 0).config(tmp_path)
    arm.model.distiller.distill_losses.loss_cskd.temperature = 3.0
    shipped = Config.fromfile(ROOT / 'configs' / 'cskd-plus_deit-ti_regnety.py')
    assert not any(hook['type'].endswith('CKFHook') for hook in shipped.custom_hooks)
    images, samples = draw(4, 3, 16, 16), [DataSample().set_gt_label(n) for n in (0, 3, 3, 9)]
    totals = []
    for distiller in (arm.model.distiller, shipped.model.distiller):
        torch.manual_seed(0)
        config = dict(arm.model.to_dict(), distiller=distiller.to_dict())
        model = MODELS.build(dict(config, teacher_ckpt=None, random_teacher=True))
        totals.append(sum(model(images, samples, mode='loss').values()))
    torch.testing.assert_close(*totals)
