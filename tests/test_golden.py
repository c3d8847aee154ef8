"""The page and its registered shells meet the reference numbers, in float64, to 1e-9."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmcskd import CSKDLoss, DeiTLoss, PatchTokenConnector, PatchTokens, build_schedule, method

GOLDEN = np.load(Path(__file__).parent / 'data' / 'cskd_loss.npz')
CASES = json.loads(str(GOLDEN['cases']))
ALPHA = 0.5
# The logits stand in for tokens behind a head that leaves them as they are.
HEAD = nn.Identity()


def name(case):
    return '-'.join(
        str(case[key]) for key in ('deit_type', 'cskd_type', 'decay', 'progress', 'tau')
    )


def page(case, tokens, dist, spatial_response, global_response):
    """Of method.py alone: fusion weight, DeiT and CSKD loss."""
    weight = getattr(method, case['decay'])(case['progress'])
    student_response = method.respond(tokens, (14, 14), HEAD, spatial_response.shape[-2:])
    fused = method.fuse(spatial_response, global_response, weight)
    if case['deit_type'] == 'hard':
        deit = method.hard_loss(dist, global_response.argmax(1))
    else:
        deit = method.soft_deit_loss(dist, global_response, case['tau'])
    if case['cskd_type'] == 'hard':
        cskd = method.hard_loss(student_response, fused.argmax(1))
    else:
        cskd = method.soft_loss(student_response, fused, case['tau'])
    return weight, deit, cskd


def shells(case, tokens, dist, spatial_response, global_response):
    """What a config names."""
    weight = build_schedule(case['decay'])(case['progress'])
    cskd = CSKDLoss(mode=case['cskd_type'], temperature=case['tau'])
    cskd.set_fusion_weight(weight)
    deit = DeiTLoss(mode=case['deit_type'], temperature=case['tau'], loss_weight=1.0)
    student_response = PatchTokenConnector()(PatchTokens(tokens, 0, (14, 14), HEAD))
    return (
        weight,
        deit(dist, global_response),
        cskd(student_response, spatial_response, global_response),
    )


@pytest.mark.parametrize('form', [page, shells])
@pytest.mark.parametrize('case', CASES, ids=map(name, CASES))
def test_golden(case, form):
    tokens, dist, cls = (
        torch.tensor(GOLDEN[key], requires_grad=True)
        for key in ('token_logits', 'dist_logits', 'cls_logits')
    )
    spatial_response = torch.tensor(GOLDEN['teacher_dense'])
    global_response = spatial_response.mean(dim=(2, 3))
    weight, deit, cskd = form(case, tokens, dist, spatial_response, global_response)
    base = F.cross_entropy(cls, torch.tensor(GOLDEN['soft_labels']))
    total = (1 - ALPHA) * base + ALPHA * deit + cskd

    assert weight == pytest.approx(case['fusion_weight'], abs=1e-12)
    losses = dict(loss_base=base, loss_deit=deit, loss_cskd=cskd, total=total)
    for key, loss in losses.items():
        assert loss.dtype == torch.float64
        assert loss.item() == pytest.approx(case[key], abs=1e-9), key

    total.backward()
    for key, leaf in (
        ('grad_norm_cls', cls),
        ('grad_norm_dist', dist),
        ('grad_norm_tokens', tokens),
    ):
        assert leaf.grad.norm().item() == pytest.approx(case[key], abs=1e-9), key
    assert tokens.grad[0, 17, :3].tolist() == pytest.approx(
        case['grad_token_0_17_first3'], abs=1e-9
    )


def test_all_cases_are_there():
    assert len(CASES) == 96
