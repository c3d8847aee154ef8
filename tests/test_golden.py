"""The losses meet the reference numbers of the method, in float64, to 1e-9."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmcskd import CSKDLoss, DeiTLoss, PatchTokenConnector, PatchTokens, build_schedule

GOLDEN = np.load(Path(__file__).parent / 'data' / 'cskd_loss.npz')
CASES = json.loads(str(GOLDEN['cases']))
ALPHA = 0.5


def name(case):
    return '-'.join(
        str(case[key]) for key in ('deit_type', 'cskd_type', 'decay', 'progress', 'tau')
    )


@pytest.mark.parametrize('case', CASES, ids=map(name, CASES))
def test_golden(case):
    tokens, dist, cls = (
        torch.tensor(GOLDEN[key], requires_grad=True)
        for key in ('token_logits', 'dist_logits', 'cls_logits')
    )
    spatial = torch.tensor(GOLDEN['teacher_dense'])
    whole = spatial.mean(dim=(2, 3))

    weight = build_schedule(case['decay'])(case['progress'])
    assert weight == pytest.approx(case['fusion_weight'], abs=1e-12)
    cskd = CSKDLoss(mode=case['cskd_type'], temperature=case['tau'])
    cskd.set_fusion_weight(weight)
    deit = DeiTLoss(mode=case['deit_type'], temperature=case['tau'], loss_weight=1.0)
    # The logits stand in for tokens behind a head that leaves them as they are.
    response = PatchTokenConnector()(PatchTokens(tokens, 0, (14, 14), torch.nn.Identity()))

    losses = dict(
        loss_base=F.cross_entropy(cls, torch.tensor(GOLDEN['soft_labels'])),
        loss_deit=deit(dist, whole),
        loss_cskd=cskd(response, spatial, whole),
    )
    for key, loss in losses.items():
        assert loss.dtype == torch.float64
        assert loss.item() == pytest.approx(case[key], abs=1e-9), key
    total = (1 - ALPHA) * losses['loss_base'] + ALPHA * losses['loss_deit'] + losses['loss_cskd']
    assert total.item() == pytest.approx(case['total'], abs=1e-9)

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
