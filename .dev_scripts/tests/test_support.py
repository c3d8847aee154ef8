"""Pairs of stock models, each of which takes a training step; the whole zoo: docs/support.md."""

import itertools
import re

import pair_trial
import pytest
import sweep
from tool_runs import ROOT

# One for each way to pool and to classify; tests/teacher has the families one by one.
TEACHERS = [
    'convnext/convnext-tiny_32xb128_in1k',
    'edgenext/edgenext-xxsmall_8xb256_in1k',
    'efficientnet/efficientnet-b0_8xb32_in1k',
    'hornet/hornet-tiny_8xb128_in1k',
    'hrnet/hrnet-w18_4xb32_in1k',
    'inception_v3/inception-v3_8xb32_in1k',
    'mobilenet_v3/mobilenet-v3-small-050_8xb128_in1k',
    'regnet/regnetx-400mf_8xb128_in1k',
    'resnet/resnet18_8xb16_cifar10',
    'riformer/riformer-s12_8xb128_in1k',
    'vgg/vgg11_8xb32_in1k',
    'vig/vig-tiny_8xb128_in1k',
]
STUDENTS = [
    'conformer/conformer-tiny-p16_8xb128_in1k',
    'davit/davit-tiny_4xb256_in1k',
    'deit/deit-tiny_4xb256_in1k',
    'deit/deit-tiny-distilled_4xb256_in1k',
    'deit3/deit3-small-p16_64xb64_in1k',
    'edgenext/edgenext-xxsmall_8xb256_in1k',
    'efficientformer/efficientformer-l1_8xb128_in1k',
    'eva02/eva02-tiny-p14_in1k',
    'hivit/hivit-tiny-p16_16xb64_in1k',
    'levit/levit-128s_8xb256_in1k',
    'mlp_mixer/mlp-mixer-base-p16_64xb64_in1k',
    'mobilevit/mobilevit-xxsmall_8xb128_in1k',
    'mvit/mvitv2-tiny_8xb256_in1k',
    'poolformer/poolformer-s12_32xb128_in1k',
    'revvit/revvit-small_8xb256_in1k',
    'riformer/riformer-s12_8xb128_in1k',
    'swin_transformer/swin-tiny_16xb64_in1k',
    'swin_transformer_v2/swinv2-tiny-w8_16xb64_in1k-256px',
    't2t_vit/t2t-vit-t-14_8xb64_in1k',
    'tinyvit/tinyvit-5m_8xb256_in1k',
    'tnt/tnt-s-p16_16xb64_in1k',
    'twins/twins-pcpvt-small_8xb128_in1k',
    'twins/twins-svt-small_8xb128_in1k',
    'vig/vig-tiny_8xb128_in1k',
    'vision_transformer/vit-base-p32_64xb64_in1k',
    'xcit/xcit-nano-12-p16_8xb128_in1k',
]


def model(name, role):
    found = {kind: (model, size) for kind, model, size in sweep.roles(f'{name}.py')}
    return found[role]


@pytest.mark.parametrize('teacher, student', list(zip(itertools.cycle(TEACHERS), STUDENTS)))
def test_pair(teacher, student):
    teaching, _ = model(teacher, 'teacher')
    learning, size = model(student, 'student')
    learning.head.num_classes = teaching.head.get('num_classes') or teaching.backbone.num_classes
    found = pair_trial.try_pair(teaching, learning, size, sweep.distiller())
    assert min(found['teacher_grid']) > 1 and min(found['student_grid']) > 1


def test_table(tmp_path, capsys):
    """The sweep of a few, kept and gone on with; what MMPretrain cannot read is said."""
    results = tmp_path / 'support.json'
    out = tmp_path / 'support.md'
    command = ['lenet', 'resnet18_8xb16', 'replknet-31B_32', '--results', str(results)]
    sweep.main([*command, '--processes', '1', '--out', str(out)])
    text = out.read_text()
    assert re.search(r'\| lenet/lenet5_mnist \| 5×5 \| not linear \| .* \| passes \|', text)
    assert re.search(r'\| resnet/resnet18_8xb16_cifar10 \| 4×4 \| linear .* passes \|', text)
    assert re.search(r'replknet-31B_32xb64_in1k .* MMPretrain: cannot be read: ', text)
    kept = results.read_text()
    sweep.main([*command, '--processes', '1'])
    assert results.read_text() == kept
    with pytest.raises(ValueError, match=r"No config below .* \['nothing'\]"):
        sweep.main(['nothing', '--results', str(results)])


@pytest.mark.parametrize('what', ['gradient', 'logits', 'places'])
def test_what_does_not_hold_is_named(what, monkeypatch):
    """A trial that could not fail would say nothing."""
    teaching, _ = model('resnet/resnet18_8xb16_cifar10', 'teacher')
    learning, _ = model('deit/deit-tiny_4xb256_in1k', 'student')
    learning.head.num_classes = 10
    recorder = 'mmcskd.SpatialResponseRecorder.get_record_data'
    if what == 'gradient':
        expected = 'no gradient in'
        monkeypatch.setattr(pair_trial, '_build', without_gradient(pair_trial._build))
    elif what == 'logits':
        expected = 'away from the own logits'
        record = lambda self, record_idx=0, data_idx=None: self.data_buffer[0][data_idx] + data_idx  # noqa: E731
        monkeypatch.setattr(recorder, record)
    else:
        expected = 'the same everywhere'
        record = lambda self, record_idx=0, data_idx=None: (  # noqa: E731
            self.data_buffer[0][1]
            if data_idx
            else self.data_buffer[0][1][..., None, None].expand(-1, -1, 4, 4)
        )
        monkeypatch.setattr(recorder, record)
    with pytest.raises(AssertionError, match=expected):
        pair_trial.try_pair(teaching, learning, 224, sweep.distiller())


def without_gradient(build):
    """Algorithms whose losses reach the distillation head alone."""

    def cut(*args):
        algorithm = build(*args)
        head = algorithm.student.head_dist
        algorithm.loss = lambda images, samples: {'loss': head.weight.sum() + head.bias.sum()}
        return algorithm

    return cut


def test_shipped_table_is_whole():
    """Every row of the zoo's table passes, or says why not; nothing fails."""
    text = (ROOT / 'docs/support.md').read_text()
    assert re.findall(r', (\d+) fail\.', text) == ['0', '0']
    for part, fewest in zip(text.split('\n## ')[1:], (100, 100)):
        listed = re.findall(r'^\| (\S+/\S+)', part, re.M)
        assert len(set(listed)) == len(listed) >= fewest
