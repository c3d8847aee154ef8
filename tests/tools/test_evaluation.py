"""tools/test.py: what it writes, and what it refuses before it evaluates."""

import json
import pickle
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmpretrain.registry import MODELS
from tool_runs import ROOT, call

CONFIG = f"""
_base_ = {str(ROOT / 'configs' / 'demo' / 'none_vit.py')!r}
test_dataloader = dict(batch_size=10, dataset=dict(length=20))
test_evaluator = dict(_delete_=True, type='Accuracy', topk=(2, 3))
"""


@METRICS.register_module()
class AnyValues(BaseMetric):
    """Everything but a float."""

    def process(self, data_batch, data_samples):
        self.results.extend([0] * len(data_samples))

    def compute_metrics(self, results):
        count = torch.tensor(len(results))
        matrix = torch.arange(4.0).view(2, 2)
        return dict(count=count, matrix=matrix, numpy=matrix.numpy(), text='x', inner={1: [count]})


EXPECTED = {
    'count': 20,
    'matrix': [[0.0, 1.0], [2.0, 3.0]],
    'numpy': [[0.0, 1.0], [2.0, 3.0]],
    'text': 'x',
    'inner': {'1': [20]},
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp('evaluation')
    (place / 'config.py').write_text(CONFIG)
    model = MODELS.build(Config.fromfile(place / 'config.py').model)
    torch.save(dict(state_dict=model.state_dict()), place / 'student.pth')
    return place


def evaluate(place, config, *arguments, **options):
    command = (config, 'student.pth', '--work-dir', 'run', *arguments)
    return call('test', *command, cwd=place, **options)


@pytest.mark.parametrize('suffix', ['json', 'pkl'])
def test_values_of_any_kind_are_written_in_full(place, suffix):
    (place / 'any.py').write_text(
        "_base_ = './config.py'\ntest_evaluator = dict(_delete_=True, type='AnyValues')\n"
    )
    printed = evaluate(place, 'any.py', '--out', f'out.{suffix}')
    content = (place / f'out.{suffix}').read_bytes()
    written = json.loads(content) if suffix == 'json' else pickle.loads(content)
    assert written == dict(student=EXPECTED)
    assert 'matrix: [[0.0, 1.0], [2.0, 3.0]]' in printed and 'count: 20.00' in printed


@METRICS.register_module()
class KeepScores(BaseMetric):
    """The scores themselves."""

    def process(self, data_batch, data_samples):
        self.results.extend(sample['pred_score'] for sample in data_samples)

    def compute_metrics(self, results):
        return dict(scores=torch.stack(results))


def test_views_are_averaged(place):
    """An image and its mirror image; or what the config says."""
    (place / 'scores.py').write_text(
        "_base_ = './config.py'\ntest_evaluator = dict(_delete_=True, type='KeepScores')\n"
    )
    flip = "[dict(type='RandomFlip', prob=1.0), dict(type='PackInputs')]"
    (place / 'mirror.py').write_text(
        f"_base_ = './scores.py'\ntest_dataloader = dict(dataset=dict(pipeline={flip}))\n"
    )
    twice = "[dict(type='TestTimeAug', transforms=[[dict(type='RandomFlip', prob=1.0)], "
    twice += "[dict(type='PackInputs')]])]"
    (place / 'own.py').write_text(f"_base_ = './scores.py'\ntta_pipeline = {twice}\n")

    def scores(config, *flags):
        evaluate(place, config, '--out', 'scores.json', *flags)
        return torch.tensor(json.loads((place / 'scores.json').read_text())['student']['scores'])

    plain, mirrored = scores('scores.py'), scores('mirror.py')
    assert (plain - mirrored).abs().max() > 1e-4
    torch.testing.assert_close(scores('scores.py', '--tta'), (plain + mirrored) / 2)
    torch.testing.assert_close(scores('own.py', '--tta'), mirrored)


def test_the_config_says_what_is_evaluated(place):
    evaluate(place, 'config.py', '--out', 'topk.json')
    (metrics,) = json.loads((place / 'topk.json').read_text()).values()
    assert metrics.keys() == {'accuracy/top2', 'accuracy/top3'}


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--out', 'x.txt'], r'--out x\.txt: expected a name that ends in \.json'),
        (['--out', 'out'], r'--out out: expected a name'),
        (['--out', 'folder.json'], r'--out folder\.json is a folder'),
        (['--cfg-options', 'test_evaluator.topk=(11,)'], r'topk is \(11,\), .* are 10 classes'),
    ],
)
def test_refused_before_the_evaluation(place, monkeypatch, arguments, message):
    (place / 'folder.json').mkdir(exist_ok=True)
    monkeypatch.setattr('mmengine.runner.TestLoop.run', None)
    printed = evaluate(place, 'config.py', *arguments, fails=True)
    assert re.search(message, printed.splitlines()[-1])
