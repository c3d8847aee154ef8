"""Soft targets from a bank: the same with all classes, and off by what is stated with fewer."""

import json
import re

import pytest
import torch
from bank_runs import EPOCHS, config, train
from mmengine.config import Config
from models import CONFIGS
from safetensors import safe_open
from safetensors.numpy import save

from mmcskd import CSKDLoss, DeiTLoss
from mmcskd.bank import response_bank
from mmcskd.bank.bank_fingerprint import identity, read
from mmcskd.bank.bank_writer import BankWriter
from mmcskd.bank.banked_response import BankedResponse
from mmcskd.bank.condense import condense
from mmcskd.bank.response_bank import Shard, shard_path
from mmcskd.bank.top_k import TopK
from mmcskd.method import fuse

CLASSES = 40
WEIGHTS = (0.0, 0.2, 0.5, 0.9, 1.0)
SOFT = {f'model.distiller.distill_losses.loss_{name}.mode': 'soft' for name in ('cskd', 'deit')}


def responses():
    """Peaked, as a trained teacher's are."""
    return 3 * torch.randn(4, CLASSES, 3, 2), 3 * torch.randn(4, CLASSES)


def banked(spatial, whole, top):
    batch = condense(spatial, whole, 0, top)
    grid = tuple(spatial.shape[-2:])
    return BankedResponse(batch, grid, grid, CLASSES, torch.device('cpu'))


def with_gradient(loss, student, *teacher):
    leaf = student.clone().requires_grad_()
    given = leaf if isinstance(teacher[0], torch.Tensor) or leaf.dim() == 2 else lambda grid: leaf
    value = loss(given, *teacher)
    return value, torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize('temperature', [1.0, 3.0])
@pytest.mark.parametrize('weight', WEIGHTS)
def test_all_classes_are_the_soft_loss(temperature, weight):
    d, g = responses()
    response = banked(d, g, TopK(CLASSES, temperature, 2.0))
    student = torch.randn_like(d)
    cskd = CSKDLoss('soft', temperature, fusion_weight=weight)
    online = with_gradient(cskd, student, d, g)
    agreement = cskd.agreement
    torch.testing.assert_close(with_gradient(cskd, student, response, response), online)
    assert torch.equal(cskd.agreement, agreement)
    deit = DeiTLoss('soft', 2.0)
    logits = student.mean((2, 3))
    torch.testing.assert_close(
        with_gradient(deit, logits, response), with_gradient(deit, logits, g)
    )


@pytest.mark.parametrize('k', [1, 5])
@pytest.mark.parametrize('weight', WEIGHTS)
def test_fewer_classes_are_the_loss_of_the_spread_target(k, weight):
    """Kept logits as they are, the others' sum spread evenly: the same KL as of a dense target."""
    d, g = responses()
    top = TopK(k, 2.0)
    response = banked(d, g, top)
    student = torch.randn_like(d)
    target = condense(d, g, 0, top).fused_target(weight, CLASSES)
    fused = fuse(d, g, weight).movedim(1, -1).flatten(0, 2) / 2.0
    dense = torch.empty_like(fused)
    for row, own in enumerate(fused):
        kept = target.classes[row][target.logits[row] > -torch.inf]
        assert {int(c) for c in d.movedim(1, -1).flatten(0, 2)[row].topk(k).indices} <= set(
            kept.tolist()
        )
        torch.testing.assert_close(target.logits[row][: len(kept)] / 2.0, own[kept])
        others = torch.ones(CLASSES, dtype=torch.bool).index_fill(0, kept, False)
        assert others.sum() == target.others[row]
        if weight in (0.0, 0.5, 1.0):  # where sums are kept, and not interpolated
            torch.testing.assert_close(target.rest[row], own[others].logsumexp(0))
        dense[row] = own
        dense[row][others] = target.rest[row] - others.sum().log()
    # A response whose softmax at T is the dense target.
    spread = (2.0 * dense).unflatten(0, (4, 3, 2)).movedim(-1, 1)
    loss = CSKDLoss('soft', 2.0, fusion_weight=1.0)
    expected = with_gradient(loss, student, spread, g)
    loss.set_fusion_weight(weight)
    torch.testing.assert_close(with_gradient(loss, student, response, response), expected)
    torch.testing.assert_close(target.spread(CLASSES, 2.0) / 2.0, dense)
    distance = 0.5 * (fused.softmax(1) - dense.softmax(1)).abs().sum(1)
    assert distance.max() > 1e-3


@pytest.mark.parametrize('k', [1, 3, 10])
def test_labels_stay_exact(k):
    d, g = responses()
    batch = condense(d, g, 0, TopK(k))
    for weight in torch.linspace(0, 1, 101).tolist():
        assert torch.equal(batch.fused_classes(weight), fuse(d, g, weight).argmax(1))


def test_the_error_is_that_of_the_gradient():
    """With the student at the teacher's own distribution all of its gradient is error."""
    d, g = responses()
    top = TopK(3)
    batch = condense(d, g, 0, top)
    stated = top.error(batch, d, g)
    assert list(stated) == ['λ = 0', 'λ = 0.25', 'λ = 0.5', 'λ = 0.75', 'λ = 1', 'g']
    response = BankedResponse(batch, (3, 2), (3, 2), CLASSES, torch.device('cpu'))
    fused = fuse(d, g, 0.75)
    value, gradient = with_gradient(CSKDLoss('soft', fusion_weight=0.75), fused, response, response)
    places = d.shape[0] * 6
    assert stated['λ = 0.75'][0] == pytest.approx(
        0.5 * 4 * gradient.abs().sum().item() / places, rel=1e-3
    )
    assert stated['λ = 0.75'][1] == pytest.approx(4 * value.item() / places, rel=1e-3)
    smaller = TopK(12).error(condense(d, g, 0, TopK(12)), d, g)
    assert all(0 < smaller[name][0] < stated[name][0] for name in stated)


@pytest.fixture(scope='module')
def top_bank(home):
    """Of a config that keeps three classes of ten; and what its writer says of the error."""
    cfg = config(home, 'write_top')
    cfg.model.bank = dict(top_k=3)
    writer = BankWriter(cfg, str(home / 'top_bank'))
    writer.write(0, EPOCHS)
    return home / 'top_bank', writer.error


def from_bank(home, name, path, top_k, **changes):
    return config(home, name, path, **{'model.bank.top_k': top_k, **changes})


def test_runs_from_it(home, top_bank, capfd):
    """Hard to the last bit; soft as the teacher but for the stated error, which is logged once."""
    path, error = top_bank
    assert train(config(home, 'hard'))[0] == train(from_bank(home, 'hard_top', path, 3))[0]
    online = train(config(home, 'soft', **SOFT))[0]
    capfd.readouterr()
    banked = train(from_bank(home, 'soft_top', path, 3, **SOFT))[0]
    logged = capfd.readouterr()
    said = re.findall(r'approximate, with model\.bank\.top_k=3.*', logged.out + logged.err)
    assert len(said) == 1 and f'λ = 0: {error["λ = 0"][0]:.1g}'[:9] in said[0]
    first, same = online[0], banked[0]
    assert first['loss_base'] == same['loss_base'] and first['agreement'] == same['agreement']
    assert first['loss_cskd'] != same['loss_cskd']
    # A student that knows nothing yet takes about the lost divergence for the teacher's doubt.
    for name, stated in dict(cskd=25 * error['λ = 1'][1], deit=error['g'][1] / 20).items():
        lost = first[f'loss_{name}'] - same[f'loss_{name}']
        assert 0.3 * stated < lost < 3 * stated
    meta = Shard(shard_path(path, 0, 0), identity(read(path))).meta
    assert meta['error'].keys() == error.keys()


@pytest.mark.parametrize('kind', ['soft', 'plus'])
def test_all_classes_run(home, kind):
    """Also of CSKD+, which has two losses of the teacher's answer to the whole image."""
    changes = SOFT
    if kind == 'plus':
        distiller = Config.fromfile(CONFIGS / '_base_/distillers.py').cskd_plus_distiller
        changes = {'model.distiller': dict(_delete_=True, **distiller)}
    cfg = config(home, f'write_all_{kind}', **changes)
    cfg.model.bank = dict(top_k=10)
    bank = home / f'all_bank_{kind}'
    writer = BankWriter(cfg, str(bank))
    writer.write(0, EPOCHS)
    assert all(distance < 1e-5 for distance, _ in writer.error.values())
    online = train(config(home, f'{kind}_online', **changes))[0]
    banked = train(from_bank(home, f'{kind}_all', bank, 10, **changes))[0]
    for one, other in zip(online, banked):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize(
    'top_k, changes, named',
    [
        (4, {}, r'"model\.bank\.top_k" was 3 when the bank was made and is 4 now'),
        (None, {}, r'"model\.bank\.top_k" was 3 when the bank was made and is null now'),
        (
            3,
            {'model.distiller.distill_losses.loss_cskd.temperature': 2.0},
            r'temperatures\.loss_cskd" was 1\.0 .* 2\.0 now',
        ),
    ],
)
def test_another_top_k_is_refused(home, top_bank, top_k, changes, named):
    with pytest.raises(ValueError, match=named):
        train(from_bank(home, 'other_top', top_bank[0], top_k, **changes))


@pytest.mark.parametrize('top_k', [0, -1, 2.5, True, '3'])
def test_bad_top_k(home, tmp_path, top_k):
    cfg = config(home, 'bad_top')
    cfg.model.bank = dict(path=str(tmp_path), top_k=top_k)
    with pytest.raises(ValueError, match=r'model\.bank\.top_k is .*, expected a number of classes'):
        BankWriter(cfg, str(tmp_path / 'bank'))


def test_more_than_there_are(home, tmp_path):
    cfg = config(home, 'more_top')
    cfg.model.bank = dict(top_k=11)
    with pytest.raises(ValueError, match=r'model\.bank\.top_k is 11 and there are 10 classes'):
        BankWriter(cfg, str(tmp_path / 'bank')).write(0, 1)


@pytest.mark.parametrize('name', ['rest', 'global_rest', 'local'])
def test_a_sum_that_is_none(top_bank, tmp_path, name):
    path = tmp_path / 'a.safetensors'
    with safe_open(str(shard_path(top_bank[0], 0, 0)), 'np') as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        meta = json.loads(file.metadata()['bank'])
    arrays[name].flat[1] = float('nan')
    meta['digest'] = response_bank._digest(arrays)
    path.write_bytes(save(arrays, metadata=dict(bank=json.dumps(meta))))
    with pytest.raises(ValueError, match=f'its "{name}" holds NaN or infinity'):
        Shard(path, identity(read(top_bank[0])))[0]
