"""The comparison of docs/evidence.md: its tool, its report, and its direction in small."""

import csv
import multiprocessing
import re
import shutil
import struct
import time

import arms
import figures
import fused_response
import head_accuracy
import numpy as np
import paired
import pytest
import report
import results
import run
import step_time
import torch
import training
from fashion_subset import FashionSubset
from mmpretrain.registry import MODELS
from models import tokens_of
from tool_runs import ROOT

from mmcskd import ClutteredDigits

SMALL = {
    'train_dataloader.dataset.length': 60,
    'train_cfg.max_epochs': 2,
    'param_scheduler': [dict(type='ConstantLR', factor=1.0)],
}


@pytest.fixture
def small(monkeypatch):
    """Runs of two epochs of 64 canvases, one learning rate to choose from."""
    config = arms.Run.config

    def shortened(self, work_dir):
        cfg = config(self, work_dir)
        cfg.merge_from_dict(SMALL)
        return cfg

    monkeypatch.setattr(arms.Run, 'config', shortened)
    for name, setting in arms.SETTINGS.items():
        short = setting._replace(rates=(1e-3, 2e-3), validation=50, test=50, tuning=())
        monkeypatch.setitem(arms.SETTINGS, name, short)


@pytest.mark.parametrize('setting', arms.SETTINGS)
def test_arms_differ_in_what_they_say(setting, tmp_path):
    """The same student, data, schedule and teacher in all arms of a setting."""
    names = arms.SETTINGS[setting].arms
    configs = {name: arms.Run(setting, name, 3).config(tmp_path).to_dict() for name in names}
    shared = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'randomness')
    one = configs['cskd_linear']
    taught_in = setting
    if setting not in ('plain', 'crowded', 'fashion_whole'):
        taught_in = 'plain' if setting == 'long' else 'fashion'
    for cfg in configs.values():
        assert {key: cfg[key] for key in shared} == {key: one[key] for key in shared}
        assert cfg['model']['architecture']['backbone'] == one['model']['architecture']['backbone']
        assert cfg['randomness'] == dict(seed=3)
        assert cfg['data_preprocessor'] == one['data_preprocessor']
    for name in set(names) - {arms.TWO_TEACHERS}:
        model = configs[name]['model']
        assert model['teacher'] == one['model']['teacher']
        assert model['teacher_ckpt'] == str(tmp_path / taught_in / 'teacher.pth')
    if arms.TWO_TEACHERS in names:
        two = configs[arms.TWO_TEACHERS]['model']
        assert two['teacher']['backbone']['parts'] == [one['model']['teacher']['backbone']] * 2
        assert two['teacher_ckpt'] == str(tmp_path / taught_in / 'teachers.pth')
    dataset = one['train_dataloader']['dataset']
    assert dataset['split'] == 'fit'
    teacher = arms.Run(taught_in, arms.TEACHER, 3).config(tmp_path).to_dict()
    images = teacher['train_dataloader']['dataset']
    if 'fashion' in setting:
        assert images == {**dataset, 'length': 55000 if setting == 'fashion_whole' else 6000}
        assert teacher['data_preprocessor'] == one['data_preprocessor']
    else:
        assert images == {**dataset, 'length': 8000}
        assert dataset['canvas'] == one['model']['architecture']['backbone']['img_size']
    keys = {arms.Run(setting, name, 0).key() for name in names}
    assert len(keys) == len(names)


def test_key_is_that_of_the_configs():
    one = arms.Run('plain', 'cskd_linear', 0, ((arms.RATE, 1e-3),))
    assert one.key() == one._replace(seed=7).key()
    assert one.key() != one._replace(options=((arms.RATE, 2e-3),)).key()
    assert one.key() != one._replace(setting='crowded').key()
    assert one.described() == 'lr=0.001'


def test_key_does_not_depend_on_what_no_run_takes(monkeypatch):
    """As a distiller that configs/_base_/distillers.py has for others."""
    one = arms.Run('plain', 'cskd_linear', 0)
    before, config = one.key(), arms.Run.config

    def another(self, work_dir):
        cfg = config(self, work_dir)
        cfg.another_distiller = dict(type='ConfigurableDistiller')
        return cfg

    monkeypatch.setattr(arms.Run, 'config', another)
    assert one.key() == before


@pytest.mark.parametrize(
    'best, further', [(5e-4, [2.5e-4]), (1e-3, []), (2e-3, []), (4e-3, [8e-3])]
)
def test_a_best_rate_at_the_end_is_passed(best, further):
    rates = arms.SETTINGS['plain'].rates
    found = arms.ARMS['fitnet'].beyond_the_edge({arms.RATE: best, 'weight': 1.0}, rates)
    assert found == [{arms.RATE: rate, 'weight': 1.0} for rate in further]


def test_rates_go_on_as_long_as_an_end_is_best(tmp_path, monkeypatch):
    """Accuracy rises to a rate of 0.03, which is far from the three that are tried first."""

    def trained(one, work_dir, tuning):
        curve = {8: dict(score=-abs(np.log(dict(one.options)[arms.RATE] / 0.03)))}
        return training.Outcome(curve, {}, dict(config=one.key(), seconds=0))

    monkeypatch.setattr(run, 'train', trained)
    matrix = run.Matrix(tmp_path, tmp_path, jobs=1)
    chosen = matrix.tune('fashion', ['none'])
    assert chosen == {('fashion', 'none'): ((arms.RATE, 0.032),)}
    tried = {row['options'] for row in rows_of(tmp_path, 'tuning')}
    rates = (1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.032, 0.064)
    assert tried == {f'lr={rate:g}' for rate in rates}
    # A setting that has another's hyperparameters tries nothing of its own.
    few = matrix.tune('fashion_10', ['deit_hard'])
    assert few == {('fashion_10', 'deit_hard'): ((arms.RATE, 0.032),)}
    assert {row['setting'] for row in rows_of(tmp_path, 'tuning')} == {'fashion'}


def test_no_chosen_rate_is_an_end_of_those_tried():
    """In the results that are committed."""
    tried = results.Table(ROOT / 'docs' / 'evidence', 'tuning').read()
    tried['rate'] = tried.options.str.extract(r'lr=(\S+)')[0].astype(float)
    for (setting, arm), found in tried.groupby(['setting', 'arm']):
        best = found.rate[found.score.idxmax()]
        assert min(found.rate) < best < max(found.rate), (setting, arm)


@pytest.mark.parametrize('setting', report.FEW.values())
def test_fewer_images_come_as_often(setting, tmp_path):
    """So many of each class; a third of the whole setting's iterations, a quarter to warm up."""
    cfg = arms.Run(setting, 'deit_hard', 0).config(tmp_path)
    length, epochs = cfg.train_dataloader.dataset.length, cfg.train_cfg.max_epochs
    assert setting == f'fashion_{length // 10}'
    per_epoch = -(-length // cfg.train_dataloader.batch_size)
    assert per_epoch * epochs == pytest.approx(94 * 24 / 3, rel=0.03)
    warm_up, decay = cfg.param_scheduler
    assert warm_up.end == decay.begin == pytest.approx(epochs / 4, abs=0.6)


def test_all_images_come_for_as_long(tmp_path):
    """Its schedule, in iterations, ends where the training does."""
    cfg = arms.Run('fashion_whole', 'deit_hard', 0).config(tmp_path)
    per_epoch = -(-cfg.train_dataloader.dataset.length // cfg.train_dataloader.batch_size)
    warm_up, decay = cfg.param_scheduler
    assert decay.end == per_epoch * cfg.train_cfg.max_epochs
    assert warm_up.end == decay.begin == pytest.approx(decay.end / 12, abs=0.6)


@pytest.mark.parametrize('name', arms.ARMS)
def test_options_reach_the_config(name, tmp_path):
    """A key that is misspelt would make another one and change nothing."""
    plain = arms.Run('plain', name, 0).config(tmp_path)
    first = arms.ARMS[name].first_round((1e-3, 2e-3))
    assert [options[arms.RATE] for options in first] == [1e-3, 2e-3]
    for options in [*first, *arms.ARMS[name].second_round(first[0])]:
        cfg = arms.Run('plain', name, 0, tuple(options.items())).config(tmp_path)
        for key, value in options.items():
            at, was = cfg, plain
            for part in key.split('.'):
                assert part in was or part == 'temperature', key
                at, was = at[part], was.get(part)
            assert at == value


def test_measures(tmp_path):
    """Each head against its own labels."""
    cfg = arms.Run('plain', 'cskd_linear', 0).config(tmp_path)
    torch.manual_seed(0)
    student = MODELS.build(cfg.model.architecture)
    images = torch.randn(30, 3, 16, 16)
    tokens = tokens_of(student.eval(), images)
    votes = dict(
        cls=student.head.layers.head(tokens[:, 0]),
        dist=student.head.layers.head_dist(tokens[:, 1]),
        patch=student.head.layers.head_dist(tokens[:, 2:]).mean(1),
    )
    score = sum(votes.values()).argmax(1)
    for name, found in votes.items():
        data = head_accuracy.Canvases(images, found.argmax(1))
        percent = head_accuracy.measure(student, data, score)
        assert percent[name] == 100
        assert percent['agreement'] == 100
        assert percent['average'] == percent['score']
    student.vote = ('dist',)
    percent = head_accuracy.measure(
        student, head_accuracy.Canvases(images, score), votes['dist'].argmax(1)
    )
    assert percent['average'] == 100 and percent['agreement'] == 100
    assert percent['score'] == percent['dist']


def test_canvases_of_another_split(tmp_path):
    cfg = arms.Run('crowded', 'none', 0).config(tmp_path)
    own = cfg.train_dataloader.dataset
    data = head_accuracy.canvases(own, 'validation', 5, MODELS.build(cfg.data_preprocessor))
    kinds = ('canvas', 'digit', 'fragments', 'fragment')
    dataset = ClutteredDigits(split='validation', length=5, **{kind: own[kind] for kind in kinds})
    for index, item in enumerate(dataset):
        image = torch.from_numpy(item['img']).permute(2, 0, 1).float()
        torch.testing.assert_close(data.images[index], (image - 32) / 64)
        assert data.labels[index] == item['gt_label']


class Painted(torch.nn.Module):
    """A teacher that answers at each place with the class that is painted at its corner."""

    def __init__(self):
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.head = torch.nn.Flatten()

    def forward(self, images, mode):
        classes = torch.nn.functional.one_hot(images[:, 0, ::4, ::4].long(), 10)
        return self.head(self.pool(classes.permute(0, 3, 1, 2).float()))


def test_fused_response_is_right_where_it_names_what_is_there():
    """Two images of 8 × 8 with places of 4 × 4."""
    inputs = torch.zeros(2, 4, 8, 8)
    painted, labels = inputs[:, 0], inputs[:, -1]
    labels[0] = painted[0, :, :4] = painted[0, 4:] = 3  # at three places; 0 at the last
    labels[1] = painted[1, 4:] = 5
    labels[1, :2] = painted[1, :4, :4] = 7  # at half of its place; 0 beside it
    teacher = Painted().eval()
    recorders = fused_response.attached(teacher, dict(response=dict(type='SpatialResponse')))
    found = fused_response.right_places(teacher, recorders, inputs)
    # Global are 3 and 5; with a weight of a quarter only the first image's last place is theirs.
    apart, moved, alike = 3 / 4 + 5 / 8, 1 + 5 / 8, 1 + 6 / 8
    assert found == {1.0: apart, 0.75: apart, 0.5: apart, 0.25: moved, 0.0: alike}


def test_paired_difference():
    found = paired.difference(
        {'0': 3.0, '1': 5.0, '2': 4.0, '9': 50.0}, {'0': 1.0, '1': 2.0, '2': 3.0}
    )
    # Differences 2, 3, 1: mean 2, standard error 1 / √3, t at 97.5 % with two degrees 4.3027.
    assert found.mean == 2 and found.seeds == 3
    assert found.half == pytest.approx(4.30265 / 3**0.5, abs=1e-4)
    assert found.verdict == 'open' and str(found) == '+2.0 ± 2.5'
    assert paired.difference({'0': 1.0}, {'1': 1.0}) is None
    single = paired.difference({'0': 1.0}, {'0': 4.0})
    assert single.half is None and single.verdict == 'open' and str(single) == '-3.0'
    assert str(paired.difference({'0': 1.0}, {'0': 1.04})) == '+0.0'
    assert paired.difference({'0': 3.0, '1': 3.1}, {'0': 1.0, '1': 1.1}).verdict == 'above'
    assert paired.difference({'0': 1.0, '1': 1.1}, {'0': 3.0, '1': 3.1}).verdict == 'below'


def row(**values):
    return dict(dict(setting='plain', arm='none', seed=0, epoch=1), **values)


def test_table_replaces_and_orders(tmp_path):
    table = results.Table(tmp_path, 'curves')
    table.put([row(seed=10, score=1.0), row(seed=9, score=12.34567)])
    table.put([row(arm='fitnet', cls=3.0), row(seed=10, score=2.5)])
    head = 'setting,arm,seed,epoch,score,cls,dist,patch,average,agreement\n'
    first = 'plain,fitnet,0,1,,3,,,,\n'
    assert (tmp_path / 'curves.csv').read_text() == (
        head + first + 'plain,none,9,1,12.3457,,,,,\nplain,none,10,1,2.5,,,,,\n'
    )
    assert list(table.read(arm='none', seed=10).score) == [2.5]
    table.put([], instead=dict(arm='none'))
    assert (tmp_path / 'curves.csv').read_text() == head + first
    (tmp_path / 'curves.csv').write_text('setting,value\nplain,1\n')
    with pytest.raises(ValueError, match=r'curves\.csv has the columns .*move it aside'):
        table.read()


@pytest.mark.parametrize('name', results.TABLES)
def test_what_is_committed_is_written_as_it_is_read(tmp_path, name):
    committed = ROOT / 'docs' / 'evidence' / f'{name}.csv'
    shutil.copy(committed, tmp_path)
    results.Table(tmp_path, name).put([])
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


def write_ten(folder, process):
    table = results.Table(folder, 'curves')
    for epoch in range(10):
        table.put([row(seed=process, epoch=epoch, score=process + epoch / 10)])


def test_processes_write_at_a_time(tmp_path):
    with multiprocessing.get_context('fork').Pool(4) as pool:
        pool.starmap(write_ten, [(tmp_path, process) for process in range(4)])
    table = results.Table(tmp_path, 'curves').read()
    assert list(zip(table.seed, table.epoch)) == [(p, e) for p in range(4) for e in range(10)]
    assert list(table.score) == [p + e / 10 for p in range(4) for e in range(10)]


def reported(tmp_path, *more):
    """The pages, as one text, and the README that report.py makes of copies of them."""
    docs, readme = tmp_path / 'docs', tmp_path / 'README.md'
    docs.mkdir()
    for name in report.PAGES:
        shutil.copy(ROOT / 'docs' / name, docs)
    shutil.copy(ROOT / 'README.md', readme)
    report.main([f'--docs={docs}', f'--readme={readme}', *more])
    return ''.join((docs / name).read_text() for name in report.PAGES), readme.read_text()


def rows_of(folder, name):
    with (folder / f'{name}.csv').open() as file:
        return list(csv.DictReader(file))


def command(tmp_path, *more, setting='plain'):
    run.main(
        ['--settings', setting, '--results', str(tmp_path), '--work-dir', str(tmp_path / 'work')]
        + list(more)
    )


def test_tool_runs_resumes_and_reports(tmp_path, small, capsys):
    """Teacher, tuning and comparison; only what is missing the second time."""
    arguments = ('--arms', 'none', 'fitnet', 'cskd_soft', '--seeds', '0')
    command(tmp_path, *arguments)
    out = capsys.readouterr().out
    assert 'teachers: 0 of 1 runs are done.' in out
    # Two learning rates each, either of them an end, so that at least one beyond follows; last, one
    # more temperature and two more weights.
    begun = re.findall(r'tuning: (\d+) of (\d+)', out)
    assert begun[:2] == [('0', '6'), ('0', '3')] and begun[-1] == ('0', '3')
    assert 'comparison: 0 of 3 runs are done.' in out
    rows = {row['arm']: row for row in rows_of(tmp_path, 'runs')}
    assert set(rows) == {'teacher', 'none', 'fitnet', 'cskd_soft'}
    assert len({row['teacher'] for row in rows.values()}) == 1
    assert rows['none']['dist'] == '' and rows['none']['score'] == rows['none']['cls']
    assert rows['cskd_soft']['score'] == rows['cskd_soft']['average']
    assert rows['cskd_soft']['torch'] == torch.__version__
    curves = rows_of(tmp_path, 'curves')
    assert [row['epoch'] for row in curves if row['arm'] == 'fitnet'] == ['1', '2']
    tried = rows_of(tmp_path, 'tuning')
    for arm in ('none', 'fitnet', 'cskd_soft'):
        scores = {row['options']: float(row['score']) for row in tried if row['arm'] == arm}
        assert scores[rows[arm]['options']] == max(scores.values())

    command(tmp_path, *arguments[:-1], '0', '1')
    out = capsys.readouterr().out
    begun = re.findall(r'tuning: (\d+) of (\d+)', out)
    assert begun[0] == ('6', '6') and all(done == wanted for done, wanted in begun)
    assert 'comparison: 3 of 6' in out
    # A teacher whose weights are gone comes back the same.
    before = rows_of(tmp_path, 'runs')
    shutil.rmtree(tmp_path / 'work')
    command(tmp_path, *arguments[:-1], '0', '1')
    out = capsys.readouterr().out
    assert 'teachers: 0 of 1' in out and 'comparison: 6 of 6' in out
    after = rows_of(tmp_path, 'runs')
    assert [r['teacher'] for r in before] == [r['teacher'] for r in after]

    text, readme = reported(tmp_path, f'--results={tmp_path}')
    mean = (float(before[-2]['score']) + float(before[-3]['score'])) / 2
    assert [row['arm'] for row in before[-3:]] == ['none', 'none', 'teacher']
    assert f'| no distillation | 2 | {mean:.1f} ± ' in text
    assert 'Nothing yet.' in readme  # without the answer
    assert 'Not run with 5 seeds: in the plain setting all; in the long setting all;' in text
    assert len(re.findall(r'\*\*lr=', text)) >= 3
    assert (
        len(re.findall(r'^\| plain, (?:whole|cut and mixed)(?: \| [\d.]+){5} \|$', text, re.M)) == 2
    )


def test_every_arm_trains(tmp_path, small, capsys):
    """And is measured; the two teachers are made and put side by side."""
    command(tmp_path, '--seeds', '0', '--untuned')
    out = capsys.readouterr().out
    assert 'teachers: 0 of 2' in out
    rows = rows_of(tmp_path, 'runs')
    trained = [row['arm'] for row in rows if row['arm'] != 'teacher']
    assert trained == sorted(arms.SETTINGS['plain'].arms)
    assert [row['seed'] for row in rows if row['arm'] == 'teacher'] == ['0', '1']
    digests = {row['arm']: row['teacher'] for row in rows if row['seed'] == '0'}
    assert digests['none'] == digests['teacher'] != digests[arms.TWO_TEACHERS]
    places = [tmp_path / 'work' / 'plain' / f'{name}.pth' for name in ('teacher', 'teacher_2')]
    ours = [torch.load(place)['head.fc.bias'] for place in places]
    both = torch.load(places[0].with_name('teachers.pth'))['head.fc.bias']
    torch.testing.assert_close(both, sum(ours) / 2)


def write_idx(path, values):
    """A file in the form of MNIST: unsigned bytes, the sizes before them."""
    head = struct.pack(f'>HBB{values.ndim}I', 0, 8, values.ndim, *values.shape)
    path.write_bytes(head + values.tobytes())


@pytest.fixture
def photographs(tmp_path):
    """Fashion-MNIST in small: 200 and 60 images whose first pixel is their number."""
    root = tmp_path / 'fashion_mnist'
    root.mkdir()
    draw = np.random.default_rng(0)
    for name, count in dict(train=200, t10k=60).items():
        images = draw.integers(0, 255, (count, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(count)
        write_idx(root / f'{name}-images-idx3-ubyte', images)
        write_idx(root / f'{name}-labels-idx1-ubyte', np.arange(count, dtype=np.uint8) % 10)
    return root


def numbers(**kwargs):
    return [int(item['img'][0, 0]) for item in FashionSubset(pipeline=(), **kwargs)]


def test_photographs_are_drawn_by_class_and_apart(photographs):
    drawn = dict(data_root=str(photographs))
    fit = numbers(split='fit', length=120, **drawn)
    held = numbers(split='validation', length=80, **drawn)
    assert sorted(fit + held) == list(range(200))
    assert [number % 10 for number in fit] == [n for n in range(10) for _ in range(12)]
    assert fit == numbers(split='fit', length=120, **drawn)
    assert fit != numbers(split='fit', length=120, draw_seed=1, **drawn)
    assert numbers(split='fit', length=20, **drawn) == [n for i, n in enumerate(fit) if i % 12 < 2]
    assert sorted(numbers(split='test', length=60, **drawn)) == list(range(60))
    with pytest.raises(ValueError, match='length is 210, expected a multiple of 10 up to 200'):
        FashionSubset(split='fit', length=210, **drawn)
    with pytest.raises(ValueError, match="split is 'train', expected one of"):
        FashionSubset(split='train', length=10, **drawn)


def test_every_way_to_distil_trains_on_photographs(tmp_path, small, photographs, monkeypatch):
    monkeypatch.setitem(SMALL, 'train_dataloader.dataset.data_root', str(photographs))
    command(tmp_path, '--seeds', '0', '--untuned', setting='fashion')
    rows = rows_of(tmp_path, 'runs')
    trained = [row['arm'] for row in rows if row['arm'] != 'teacher']
    assert trained == sorted(arms.SETTINGS['fashion'].arms)
    # What nothing taught is not told.
    alone = {row['arm'] for row in rows if row['dist'] == '' and row['arm'] != 'teacher'}
    assert alone == {'none', 'kl', 'dkd', 'dist', 'fitnet', 'rsd'}


def test_runs_go_side_by_side_and_a_failure_is_said(tmp_path, monkeypatch, capfd):
    """Each in a process of its own; what had ended before a failure is kept."""

    def trained(one, work_dir, tuning):
        if one.seed == 3:
            raise ValueError('no such thing')
        (work_dir / str(one.seed)).write_text(str(multiprocessing.current_process().pid))
        if one.seed < 2:  # so that the two must be there at a time
            other = work_dir / str(1 - one.seed)
            until = time.monotonic() + 60
            while not other.exists():
                assert time.monotonic() < until
                time.sleep(0.01)
        return training.Outcome({}, dict(score=float(one.seed)), dict(config='x', seconds=0))

    monkeypatch.setattr(run, 'train', trained)
    run.Matrix(tmp_path, tmp_path, jobs=2).compare({('plain', 'none'): ()}, [0, 1, 2])
    with pytest.raises(RuntimeError, match='seed=3.* ended with exit code 1'):
        run.Matrix(tmp_path, tmp_path, jobs=1).compare({('plain', 'deit_hard'): ()}, [2, 3, 4])
    assert 'no such thing' in capfd.readouterr().err
    rows = [(row['arm'], row['seed'], row['score']) for row in rows_of(tmp_path, 'runs')]
    assert rows == [('deit_hard', '2', '2'), *(('none', seed, seed) for seed in '012')]
    assert len({(tmp_path / seed).read_text() for seed in '012'}) == 3


def test_changed_config_is_run_anew(tmp_path, small, monkeypatch, capsys):
    arguments = ('--arms', 'none', '--seeds', '0', '--untuned')
    command(tmp_path, *arguments)
    monkeypatch.setitem(SMALL, 'train_cfg.max_epochs', 3)
    capsys.readouterr()
    command(tmp_path, *arguments)
    out = capsys.readouterr().out
    assert 'teachers: 0 of 1' in out and 'comparison: 0 of 1' in out
    rows = rows_of(tmp_path, 'runs')
    assert [(row['arm'], row['epochs']) for row in rows] == [('none', '3'), ('teacher', '')]
    assert rows[0]['options'] == '' and not (tmp_path / 'tuning.csv').exists()
    curve = rows_of(tmp_path, 'curves')
    assert [row['epoch'] for row in curve] == ['1', '2', '3']


def test_report_refuses_runs_of_two_configs(tmp_path):
    run_of = dict(setting='plain', arm='none', score=1.0)
    table = results.Table(tmp_path, 'runs')
    table.put([dict(run_of, seed=0, config='a'), dict(run_of, seed=1, config='b')])
    with pytest.raises(ValueError, match='2 configs of the arm none in the plain setting'):
        report.main(['--results', str(tmp_path)])


def test_figure_and_table_say_what_the_answer_leads_by(tmp_path, monkeypatch):
    """Of complete settings and arms alone; in order, with the interval of paired differences."""
    scores = dict(none=4.0, vkd=11.0, rsd=9.0, cskd_linear=13.0, cskd_with_features=16.0)
    origin = dict.fromkeys(('teacher', *results.VERSIONS), 'x')
    rows = [
        dict(
            setting='fashion',
            arm=arm,
            seed=seed,
            score=score + seed * (arm == 'vkd'),
            **origin,
            config=arm,
            seconds=1,
        )  # fmt: skip
        for arm, score in scores.items()
        for seed in range(results.SEEDS - (arm == 'rsd'))
    ]
    rows += [dict(row, setting='long') for row in rows if row['seed'] == 0]
    results.Table(tmp_path, 'runs').put(rows)
    drawn = []
    monkeypatch.setattr(figures.plt, 'close', drawn.append)
    text, readme = reported(tmp_path, f'--results={tmp_path}')
    for page in (text, readme):
        assert '|  | photographs (fashion) | CSKD with features minus it |\n' in page
        assert '| VkD | 13.0 ± 1.6 | +3.0 ± 2.0 |' in page
        assert '| CSKD (linear) | 13.0 ± 0.0 | +3.0 ± 0.0 |' in page
        assert '| CSKD with features | 16.0 ± 0.0 |  |' in page and '| RSD | 9.0' not in readme
    assert '![CSKD with features minus each other way to distil, with 95 % intervals]' in text
    assert (tmp_path / 'docs' / 'images' / 'evidence.png').stat().st_size > 10_000
    ((axis,),) = [figure.axes for figure in drawn]
    assert axis.get_title() == 'photographs (fashion)'
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert set(shown) == {'VkD', 'CSKD (linear)'}  # no distillation is far below
    names = {note.get_text() for note in axis.texts}
    assert names == {'+3.0 ± 2.0', '+3.0 ± 0.0'}
    spans = [bar.get_segments()[0][:, 0] for line in axis.containers for bar in line[2]]
    widths = dict(zip(shown, (span[1] - span[0] for span in spans)))
    assert widths['VkD'] == pytest.approx(2 * 1.9632, abs=1e-3) and widths['CSKD (linear)'] == 0


def test_ckf_and_few_images_are_told(tmp_path):
    """Each arm that has CKF beside the one without; accuracy by the number of images."""
    scores = dict(deit_hard=10.0, vkd=11.0, cskd_linear=12.0, cskd_with_features=15.0)
    scores.update(cskd_everywhere=14.5)
    scores.update(cskd_local=14.0, cskd_soft=13.0)
    origin = dict.fromkeys(('config', 'teacher', *results.VERSIONS), 'x')
    rows = [
        dict(setting=setting, arm=arm, seed=seed, score=score + per_class, seconds=1, **origin)
        for per_class, setting in report.FEW.items()
        for arm, score in scores.items()
        for seed in range(2)
    ]
    table = results.Table(tmp_path, 'runs')
    table.put(rows)
    text, _ = reported(tmp_path, f'--results={tmp_path}')
    assert '| CKF minus none | hard loss | seeds | soft loss | seeds |' in text
    assert '| fashion_10 | -2.0 ± 0.0 | 2 | – |  |' in text
    assert '| images of a class | 10 | 50 | 200 |' in text
    assert '| VkD | 21.0 ± 0.0 | 61.0 ± 0.0 | 211.0 ± 0.0 |' in text
    assert '| CSKD with features minus VkD | +4.0 ± 0.0 |' in text
    assert (tmp_path / 'docs' / 'images' / 'few_images.png').stat().st_size > 10_000


def test_report_without_results(tmp_path):
    text, readme = reported(tmp_path, f'--results={tmp_path}')
    assert 'Nothing yet.' in readme
    assert text.count('Nothing yet.') == 11
    assert '; '.join(f'in the {setting} setting all' for setting in arms.SETTINGS) in text


def test_page_is_that_of_the_results(tmp_path):
    """The pages and the README's table are what report.py makes of docs/evidence/."""
    text, readme = reported(tmp_path)
    assert text == ''.join((ROOT / 'docs' / name).read_text() for name in report.PAGES)
    assert readme == (ROOT / 'README.md').read_text()


@pytest.mark.parametrize('setting', step_time.SETTINGS)
def test_steps_are_timed(setting, capsys):
    threads = torch.get_num_threads()
    try:
        step_time.main(['--settings', setting, '--arms', arms.ANSWER, '--rounds', '2'])
    finally:
        torch.set_num_threads(threads)
    ours, plus = [line for line in capsys.readouterr().out.splitlines() if '×' in line]
    assert re.fullmatch(rf'{setting} CSKD \(linear\): [\d.]+ ms, 1\.00 × CSKD \(linear\)', ours)
    assert re.fullmatch(rf'{setting} CSKD with features: [\d.]+ ms, [\d.]+ × CSKD \(linear\)', plus)


def test_direction(tmp_path):
    """One seed of two arms, cut after half of the epochs: patches learn what DeiT leaves untaught.

    By half of what separated the two after so many epochs in the full run whose seed was closest.
    """
    half = 4
    curves, runs = (results.Table(ROOT / 'docs' / 'evidence', name) for name in ('curves', 'runs'))
    spatial, deit = (
        curves.read(setting='plain', arm=arm, epoch=half).set_index('seed').patch
        for arm in ('cskd_local', 'deit_hard')
    )
    least = min(spatial - deit) / 2
    training.train_teacher(arms.Run('plain', arms.TEACHER, 0), tmp_path)
    found = {}
    for name in ('cskd_local', 'deit_hard'):
        chosen = runs.read(setting='plain', arm=name).options.iloc[0]
        one = arms.Run('plain', name, 0, ((arms.RATE, float(chosen.removeprefix('lr='))),))
        curve = training.train(one, tmp_path, tuning=True, last=half).curve
        assert max(curve) == half
        found[name] = curve[half]['patch']
    assert found['cskd_local'] > found['deit_hard'] + least
