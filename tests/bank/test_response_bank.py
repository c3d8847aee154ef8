"""Training from a bank of the teacher's responses is training with the teacher."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from bank_runs import EPOCHS, SCHEDULES, config, train
from mmengine.runner import Runner
from safetensors import safe_open
from safetensors.numpy import save, save_file
from tool_runs import TOOLS, load_tool, losses, run

from mmcskd.bank import response_bank
from mmcskd.bank.bank_fingerprint import FILE, identity, read
from mmcskd.bank.bank_writer import BankWriter
from mmcskd.bank.condense import condense
from mmcskd.bank.envelope import candidates
from mmcskd.bank.response_bank import FORMAT, Shard, shard_path
from mmcskd.method import fuse


@pytest.fixture(scope='module')
def bank(home):
    writer = BankWriter(config(home, 'write'), str(home / 'bank'))
    assert writer.write(0, EPOCHS) > 0
    return home / 'bank'


def opened(bank, epoch=0):
    return Shard(shard_path(bank, epoch, 0), identity(read(bank)))


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_same_run(home, bank, schedule):
    """Losses and weights to the last bit, and no teacher in memory."""
    online = train(config(home, 'online', schedule=SCHEDULES[schedule]))
    banked = train(config(home, 'banked', bank, schedule=SCHEDULES[schedule]))
    assert online[0] == banked[0] and len(online[0]) == EPOCHS * 5
    assert {'loss_base', 'loss_deit', 'loss_cskd', 'agreement'} <= set(online[0][0])
    assert online[1].keys() == banked[1].keys()
    assert all(torch.equal(value, banked[1][key]) for key, value in online[1].items())


def test_schedules_have_labels_of_their_own(home, bank):
    """Otherwise the test above would compare nothing that depends on the fusion weight."""
    batch = opened(bank)[0]
    assert (batch.fused_classes(1.0) != batch.fused_classes(0.3)).any()
    best = torch.from_numpy(batch.best.astype('int64'))
    assert (batch.fused_classes(0.0) == best[:, None, None]).all()


def test_any_number_of_workers(home, bank):
    alone = train(config(home, 'alone', bank))
    helped = train(config(home, 'helped', bank, workers=2))
    assert alone[0] == helped[0]
    assert all(torch.equal(value, helped[1][key]) for key, value in alone[1].items())


def test_no_teacher_in_memory(home, bank):
    cfg = config(home, 'light', bank)
    algorithm = Runner.from_cfg(cfg).model
    assert not list(algorithm.teacher.parameters())


def test_resume_from_the_middle(home, bank):
    whole = train(config(home, 'whole', bank))
    first = config(home, 'halves', bank)
    first.train_cfg.max_epochs = EPOCHS
    first.default_hooks.checkpoint.update(by_epoch=False, interval=7)
    train(first)
    again = config(home, 'halves', bank)
    again.resume, again.load_from = True, str(home / 'halves' / 'iter_7.pth')
    rest = train(again)
    assert rest[0] == whole[0][7:]
    assert all(torch.equal(value, rest[1][key]) for key, value in whole[1].items())


@pytest.mark.parametrize(
    'key, value, named',
    [
        ('randomness.seed', 5, '"randomness.seed" was 0 when the bank was made and is 5 now'),
        (
            'train_dataloader.dataset.pipeline.0.padding',
            4,
            r'"train_dataloader\.dataset\.pipeline\.0\.padding" was 5 .* 4 now',
        ),
        ('train_dataloader.sampler.num_repeats', 2, r'train_dataloader\.sampler\.num_repeats'),
        ('train_dataloader.batch_size', 4, r'"train_dataloader\.batch_size" was 8 .* is 4 now'),
        (
            'model.data_preprocessor.batch_augments.augments.0.alpha',
            0.2,
            r'augments\.0\.alpha" was 0\.8 .* 0\.2 now',
        ),
        ('train_dataloader.drop_last', True, r'"train_dataloader\.drop_last" was false'),
        ('model.teacher.backbone.style', 'caffe', r'model\.teacher\.backbone\.style" was null'),
        (
            'optim_wrapper.type',
            'mmrazor.DeviceAmpOptimWrapper',
            r'"optim_wrapper\.type\.0" was "OptimWrapper"',
        ),
        ('model.teacher_view', dict(size=48), r'"model\.teacher_view" was null'),
        ('model.data_preprocessor.mean', [1.0] * 3, r'"model\.data_preprocessor\.mean\.0"'),
        ('model.distiller.distill_losses.loss_cskd.grid', 'student', r'grids\.loss_cskd" was "coa'),
    ],
)
def test_another_run_is_refused(home, bank, key, value, named):
    cfg = config(home, 'other', bank, **{key: value})
    with pytest.raises(ValueError, match=f'belongs to another run: .*{named}'):
        train(cfg)


def test_other_weights_under_the_same_name_are_refused(home, bank, tmp_path):
    """By their content."""
    shutil.copy(home / 'teacher.pth', tmp_path / 'teacher.pth')
    weights = torch.load(home / 'teacher.pth')
    weights['head.fc.bias'] += 1
    torch.save(weights, home / 'teacher.pth')
    try:
        with pytest.raises(ValueError, match='content of model.teacher_ckpt'):
            train(config(home, 'other', bank))
    finally:
        shutil.copy(tmp_path / 'teacher.pth', home / 'teacher.pth')


def test_same_weights_in_another_place(home, bank, tmp_path):
    """Known by their content; where they are not at all, the run says what it cannot check."""
    shutil.copy(home / 'teacher.pth', tmp_path / 'elsewhere.pth')
    moved = config(home, 'moved', bank)
    moved.model.teacher_ckpt = str(tmp_path / 'elsewhere.pth')
    absent = config(home, 'absent', bank)
    absent.model.teacher_ckpt = 'nowhere.pth'
    assert train(moved)[0] == train(absent)[0] == train(config(home, 'here', bank))[0]
    (moved_log,), (absent_log,) = ((home / name).glob('*/*.log') for name in ('moved', 'absent'))
    told = 'model.teacher_ckpt="nowhere.pth" is not here'
    assert told in absent_log.read_text() and 'is not here' not in moved_log.read_text()


def test_student_on_another_grid_is_refused(home, bank):
    """It meets the teacher where the bank has nothing: online it would be on 2×2."""
    cfg = config(home, 'coarse', bank, **{'model.architecture.backbone.patch_size': 20})
    with pytest.raises(ValueError, match=r'meet on a grid of 2×2 by CSKDLoss\.grid, but .* on 5×5'):
        train(cfg)


def test_other_classes_are_refused(home, bank, monkeypatch):
    """As where a folder was added or renamed, which no key of the config says."""
    from mmcskd import ClutteredDigits

    names = ('zero', 'two', 'one', *map(str, range(3, 10)))
    monkeypatch.setattr(ClutteredDigits, 'METAINFO', dict(classes=names))
    with pytest.raises(ValueError, match='"classes of train_dataloader.dataset.[0-9]" was "'):
        train(config(home, 'classes', bank))


@pytest.mark.parametrize('content', [b'{"torn', b'[]', b'\xff'])
def test_damaged_fingerprint(home, bank, tmp_path, content):
    copied = tmp_path / 'bank'
    shutil.copytree(bank, copied)
    (copied / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=r'fingerprint\.json" is damaged.*model\.bank\.path'):
        train(config(home, 'other', copied))
    with pytest.raises(ValueError, match=r'fingerprint\.json" is damaged'):
        BankWriter(config(home, 'again'), str(copied))


@pytest.mark.parametrize('meta', [[], {}, dict(format=FORMAT)])
def test_shard_that_says_nothing(bank, tmp_path, meta):
    path = shard_path(tmp_path, 0, 0)
    save_file(dict(best=np.zeros(1)), path, metadata=dict(bank=json.dumps(meta)))
    with pytest.raises(ValueError, match='is damaged|has format None'):
        Shard(path, '')


def test_last_batch_is_checked(home, bank):
    """On CUDA a batch is looked at with the next one, the last by the hook."""
    runner = Runner.from_cfg(config(home, 'last', bank))
    runner.train()
    looked = []
    runner.model.teacher._pending = lambda: looked.append('at')
    runner.call_hook('after_train')
    assert looked == ['at'] and runner.model.teacher._pending is None


def test_other_library_is_refused(home, bank, tmp_path):
    copied = tmp_path / 'bank'
    shutil.copytree(bank, copied)
    kept = json.loads((copied / FILE).read_text())
    kept['version of torch'] = '1.0'
    (copied / FILE).write_text(json.dumps(kept))
    with pytest.raises(ValueError, match='"version of torch" was "1.0" when'):
        train(config(home, 'other', copied))


def test_other_images_are_refused(home, bank, monkeypatch):
    """Should something change that no config says, such as the files of the dataset."""
    from mmcskd import ClutteredDigits

    draw = ClutteredDigits.get_data_info

    def another(self, index):
        info = draw(self, index)
        info['img'] = info['img'].copy()
        info['img'][20, 20] ^= 1
        return info

    monkeypatch.setattr(ClutteredDigits, 'get_data_info', another)
    with pytest.raises(ValueError, match='images of batch 0 in epoch 0 are not those of the bank'):
        train(config(home, 'other', bank))


@pytest.mark.parametrize('fault', ['cut', 'flipped', 'missing', 'empty'])
def test_damaged_shard_is_found_and_made_anew_alone(home, bank, tmp_path, fault):
    copied = tmp_path / 'bank'
    shutil.copytree(bank, copied)
    shard = shard_path(copied, 1, 0)
    content = bytearray(shard.read_bytes())
    if fault == 'missing':
        shard.unlink()
    else:
        content[-3] ^= 4
        shard.write_bytes(dict(cut=content[:-20], flipped=content, empty=b'')[fault])
    expected = 'holds 1 epochs of the 3' if fault == 'missing' else 'is damaged'
    with pytest.raises(ValueError, match=expected):
        train(config(home, 'damaged', copied))
    others = {path: path.stat().st_mtime_ns for path in copied.glob('*') if path != shard}
    BankWriter(config(home, 'again'), str(copied)).write(0, EPOCHS)
    assert shard.read_bytes() == shard_path(bank, 1, 0).read_bytes()
    assert all(path.stat().st_mtime_ns == time for path, time in others.items())


def test_whoever_banks(home, bank, tmp_path):
    """Epochs shared out among processes: the same shards, byte for byte."""
    for begin, end in ((2, 3), (0, 2)):
        BankWriter(config(home, 'share'), str(tmp_path / 'bank')).write(begin, end)
    for path in bank.iterdir():
        assert (tmp_path / 'bank' / path.name).read_bytes() == path.read_bytes()


def test_interrupted_bank_is_gone_on_with(home, bank, tmp_path, monkeypatch):
    """In the middle of an epoch: what was written stays, and nothing is half there."""
    writer = BankWriter(config(home, 'broken'), str(tmp_path / 'bank'))
    respond, answers = writer._respond, []

    def interrupt(images):
        answers.append(respond(images))
        if len(answers) == 8:
            raise KeyboardInterrupt
        return answers[-1]

    monkeypatch.setattr(writer, '_respond', interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.write(0, EPOCHS)
    first = shard_path(tmp_path / 'bank', 0, 0)
    assert sorted(tmp_path.rglob('*.*')) == [first, tmp_path / 'bank' / FILE]
    time = first.stat().st_mtime_ns
    BankWriter(config(home, 'mended'), str(tmp_path / 'bank')).write(0, EPOCHS)
    assert first.stat().st_mtime_ns == time
    for path in bank.iterdir():
        assert (tmp_path / 'bank' / path.name).read_bytes() == path.read_bytes()


def test_cycle(home, bank):
    """The first epochs again: the same views and, at a constant fusion weight, labels."""
    constant = SCHEDULES['constant']
    cfg = config(home, 'longer', bank, schedule=constant)
    cfg.train_cfg.max_epochs = EPOCHS + 2
    with pytest.raises(ValueError, match=r'holds 3 epochs of the 5 .*model\.bank\.cycle=True'):
        train(cfg)

    def cycled(name, **changes):
        cfg = config(home, name, bank, schedule=constant, **changes)
        cfg.train_cfg.max_epochs = EPOCHS + 2
        cfg.model.bank.cycle = True
        # A student that stands still, and drops nothing out, answers the same view alike.
        cfg.optim_wrapper.optimizer.lr, cfg.param_scheduler = 0.0, None
        return cfg

    whole = train(cycled('longer'))[0]
    assert len(whole) == (EPOCHS + 2) * 5
    assert whole[EPOCHS * 5 :] == whole[: 2 * 5]
    first = cycled('longer_halves')
    first.default_hooks.checkpoint.update(by_epoch=False, interval=17)
    train(first)
    again = cycled('longer_halves')
    again.resume, again.load_from = True, str(home / 'longer_halves' / 'iter_17.pth')
    assert train(again)[0] == whole[17:]


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(path='nowhere'), r'model\.bank\.path="nowhere" is no folder'),
        (dict(pth='x'), r'model\.bank has no key "pth".*Nearest: "path"'),
        (dict(path=3), r'model\.bank is .*expected dict\(path="…"\)'),
    ],
)
def test_bad_bank(home, change, message):
    cfg = config(home, 'bad')
    cfg.model.bank = change
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg)


def test_what_training_from_a_bank_needs(home, bank, tmp_path):
    cfg = config(home, 'needs', bank)
    cfg.custom_hooks.pop()
    with pytest.raises(ValueError, match=r'needs dict\(type="mmrazor\.ResponseBankHook"\)'):
        train(cfg)
    cfg = config(home, 'needs', bank)
    cfg.default_hooks.pop('exact_resume')
    with pytest.raises(ValueError, match=r'add dict\(type="mmrazor\.ExactResumeHook"\)'):
        train(cfg)
    with pytest.raises(ValueError, match=r'holds no bank'):
        train(config(home, 'needs', tmp_path))
    cfg = config(home, 'needs')
    cfg.custom_hooks.append(dict(type='mmrazor.ResponseBankHook'))
    with pytest.raises(ValueError, match='found no bank'):
        train(cfg)
    soft = {'model.distiller.distill_losses.loss_cskd.mode': 'soft'}
    with pytest.raises(ValueError, match=r'loss_cskd\.mode is "soft".* set model\.bank\.top_k'):
        train(config(home, 'needs', bank, **soft))


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('randomness', dict(seed=None), r'set randomness=dict\(seed=…\)'),
        ('model.teacher_ckpt', None, r'random teacher .* set model\.teacher_ckpt'),
        (
            'model.distiller.distill_losses.loss_deit.mode',
            'soft',
            r'loss_deit\.mode is "soft".*top_k',
        ),
    ],
)
def test_what_a_bank_needs(home, tmp_path, key, value, message):
    cfg = config(home, 'writer')
    cfg.merge_from_dict({key: value})
    if key == 'randomness':
        cfg.randomness = value
    if key == 'model.teacher_ckpt':
        cfg.model.random_teacher = True
    with pytest.raises(ValueError, match=message):
        BankWriter(cfg, str(tmp_path / 'bank'))


@pytest.mark.parametrize('seed', range(3))
def test_candidates_are_the_winners(seed):
    """All classes that ever win on a fine grid of fusion weights, and no others."""
    torch.manual_seed(seed)
    d, g = torch.randn(3, 40, 2, 3), torch.randn(3, 40)
    kept, won = candidates(d, g), torch.zeros(3, 40, 2, 3, dtype=torch.bool)
    for weight in torch.linspace(0, 1, 20001).tolist():
        won.scatter_(1, fuse(d, g, weight).argmax(1)[:, None], True)
    assert torch.equal(kept, won)
    assert 1 < kept.sum(1).float().mean() < 5


@pytest.mark.parametrize('spread', [1.0, 1e-6, 0.0])
def test_labels_of_every_weight(spread):
    """Also where classes are as good as tied, or tied."""
    torch.manual_seed(1)
    d = 3 + spread * torch.randn(4, 300, 3, 2)
    g = 3 + spread * torch.randn(4, 300)
    batch = condense(d, g, 0)
    for weight in [*torch.linspace(0, 1, 101).tolist(), *torch.rand(100).tolist()]:
        expected = fuse(d, g, weight).argmax(1)
        assert torch.equal(batch.fused_classes(weight), expected)


def test_not_finite():
    d = torch.zeros(1, 3, 2, 2)
    with pytest.raises(ValueError, match=r'not finite: check model\.teacher_ckpt'):
        candidates(d, torch.tensor([[0.0, 1.0, float('nan')]]))


@pytest.mark.slow
def test_as_a_user_starts_it(place):
    """Two processes bank, train from it, and train with the teacher."""
    text = (place / 'two.py').read_text() + 'randomness = dict(seed=3)\n'
    (place / 'online_two.py').write_text(text)
    hooks = "custom_hooks.append(dict(type='mmrazor.ResponseBankHook'))\n"
    (place / 'bank_two.py').write_text(text + "model['bank'] = dict(path='bank')\n" + hooks)
    start = ('bash', TOOLS / 'dist_bank_responses.sh', 'bank_two.py', 2)
    run(*start, '--epochs', '0:1', cwd=place)
    log = run(*start, cwd=place)
    assert '"bank" holds epochs 0 to 1' in log
    assert re.search(r'batches: 100%.*<00:00', log)  # with the time that is left
    assert len(list((place / 'bank').glob('*.safetensors'))) == 4
    for name in ('online_two', 'bank_two'):
        run('bash', TOOLS / 'dist_train.sh', f'{name}.py', 2, '--work-dir', name, cwd=place)
    assert losses(place / 'bank_two') == losses(place / 'online_two')
    log = run(*start, '--epochs', '1:5', cwd=place, fails=True)
    assert '--epochs "1:5", expected a:b with 0 <= a < b <= 2' in log
    one = ('bash', TOOLS / 'dist_train.sh', 'bank_two.py', 1, '--work-dir', 'x')
    assert '"number of processes" was 2 when the bank was made and is 1 now' in run(
        *one, cwd=place, fails=True
    )


def test_epochs():
    tool = load_tool('bank_responses')
    assert tool.epochs_of(None, 7) == (0, 7)
    assert tool.epochs_of('2:', 7) == (2, 7)
    for text in ('3', '3:2', 'a:b', '0:8'):
        with pytest.raises(ValueError, match=f'--epochs "{text}", expected'):
            tool.epochs_of(text, 7)


def wrong_count(arrays, meta):
    arrays['table_size'] = arrays['table_size'] + 1


def wrong_entries(arrays, meta):
    arrays['count'] = arrays['count'] * 3


def huge_grid(arrays, meta):
    meta['meta']['grid'] = [1 << 30, 1 << 30]


def no_meta(arrays, meta):
    meta['meta'] = 3


def without_end(arrays, meta):
    meta['meta'] = None
    meta['deep'] = None


@pytest.mark.parametrize('harm', [wrong_count, wrong_entries, huge_grid, no_meta, without_end])
def test_a_shard_that_counts_what_is_not_there(bank, tmp_path, harm):
    """Whole by its own digest, which whoever makes a bank can write."""
    path = tmp_path / 'a.safetensors'
    arrays, meta = content(shard_path(bank, 0, 0))
    harm(arrays, meta)
    meta['digest'] = response_bank._digest(arrays)
    text = json.dumps(meta)
    if harm is without_end:
        text = '{"meta": ' + '[' * 100_000 + ']' * 100_000 + '}'
    path.write_bytes(save(arrays, metadata=dict(bank=text)))
    with pytest.raises(ValueError, match='of the bank is damaged'):
        Shard(path, identity(read(bank)))[0]


def content(path):
    """Arrays of a shard, and what it says of itself."""
    with safe_open(str(path), 'np') as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays, json.loads(file.metadata()['bank'])


def forged(path, arrays, meta):
    """A shard that is whole by its own digest."""
    meta['digest'] = response_bank._digest(arrays)
    path.write_bytes(save(arrays, metadata=dict(bank=json.dumps(meta))))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('name', ['table_global', 'local'])
def test_a_response_that_is_none(bank, tmp_path, name, value):
    """An argmax would hide it."""
    arrays, meta = content(shard_path(bank, 0, 0))
    arrays[name][3] = value
    forged(tmp_path / 'a.safetensors', arrays, meta)
    with pytest.raises(ValueError, match=rf'its "{name}" holds NaN or infinity'):
        Shard(tmp_path / 'a.safetensors', identity(read(bank)))[0]


@pytest.mark.parametrize('name', ['best', 'table_class', 'table_size', 'count', 'entry'])
@pytest.mark.parametrize('value', [-1, 100])
def test_a_number_out_of_range(bank, tmp_path, name, value):
    """Of ten classes."""
    arrays, meta = content(shard_path(bank, 0, 0))
    arrays[name] = arrays[name].astype(np.int32)
    arrays[name].flat[3] = value
    forged(tmp_path / 'a.safetensors', arrays, meta)
    with pytest.raises(ValueError, match='its "[a-z_]+" (holds a number out of range|is not that)'):
        Shard(tmp_path / 'a.safetensors', identity(read(bank)))[0]


def test_arrays_of_another_kind(bank, tmp_path):
    """Each one missing, in float64, or longer."""
    path, run = tmp_path / 'a.safetensors', identity(read(bank))
    names = [*content(shard_path(bank, 0, 0))[0]]
    assert len(names) == 12
    for name in names:
        changes = (
            lambda arrays, name=name: arrays.pop(name),
            lambda arrays, name=name: arrays.update({name: arrays[name].astype(np.float64)}),
            lambda arrays, name=name: arrays.update({name: np.repeat(arrays[name], 2, axis=0)}),
        )
        for change in changes:
            arrays, meta = content(shard_path(bank, 0, 0))
            change(arrays)
            forged(path, arrays, meta)
            with pytest.raises(ValueError, match=r'is damaged \(.*"'):
                Shard(path, run)


def test_a_shard_of_another_bank(home, bank, tmp_path):
    """Copied in, it is refused, and made anew alone."""
    other = tmp_path / 'other'
    weights = torch.load(home / 'teacher.pth')
    torch.save({k: v + 0.01 for k, v in weights.items()}, tmp_path / 'other.pth')
    changed = {'model.teacher_ckpt': str(tmp_path / 'other.pth')}
    BankWriter(config(home, 'other_teacher', **changed), str(other)).write(1, 2)
    copied, shard = tmp_path / 'bank', shard_path(tmp_path / 'bank', 1, 0)
    shutil.copytree(bank, copied)
    shutil.copy(shard_path(other, 1, 0), shard)
    with pytest.raises(ValueError, match=r'epoch_0001.*belongs to another run than the bank'):
        train(config(home, 'mixed', copied))
    BankWriter(config(home, 'again'), str(copied)).write(0, EPOCHS)
    assert shard.read_bytes() == shard_path(bank, 1, 0).read_bytes()


def test_a_shard_of_an_earlier_format(bank, tmp_path):
    arrays, meta = content(shard_path(bank, 0, 0))
    forged(tmp_path / 'a.safetensors', arrays, dict(meta, format='3'))
    with pytest.raises(ValueError, match='has format 3, this version reads 4: make the bank anew'):
        Shard(tmp_path / 'a.safetensors', identity(read(bank)))
