import json
import re
from html.parser import HTMLParser

import pytest
import yaml
from made_up_run import CLASSES, write_run

from mmcskd.app.report import write_report

VOID = {'meta', 'link', 'br', 'img', 'path', 'use', 'rect', 'image'}


class Page(HTMLParser):
    """Sections, text, what is loaded and whether tags are closed."""

    def __init__(self, path):
        super().__init__()
        self.open, self.loaded, self.ids, self.text, self.tags = [], [], [], '', []
        self.feed(path.read_text(encoding='utf-8'))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.ids += [found['id']] if 'id' in found else []
        self.loaded += [
            found[name]
            for name in ('src', 'href', 'xlink:href')
            if name in found and not found[name].startswith('#')
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != 'style':
            self.text += data


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    out = write_run(tmp_path_factory.mktemp('run') / 'out')
    return out, write_report(out)


def test_one_file_that_loads_nothing(run):
    page = Page(run[1])
    assert run[1] == run[0] / 'report.html'
    assert all(each.startswith('data:') for each in page.loaded)
    assert len([each for each in page.loaded if each.startswith('data:image/png;base64,')]) == 24
    assert page.tags.count('script') == 0 and '@import' not in run[1].read_text()
    for id in (
        'accuracy',
        'classes',
        'confusions',
        'places',
        'curves',
        'calibration',
        'cost',
        'data',
    ):
        assert page.ids.count(id) == 1


def test_names_are_text(run):
    page = Page(run[1])
    for name in CLASSES:
        assert name in page.text
    assert '<b>broken.jpg' in page.text
    assert 'b' in page.tags and '<script>' not in run[1].read_text()


def test_figures_take_the_colours_of_the_page(run):
    text = run[1].read_text()
    figures = re.findall(r'<figure>.*?</figure>', text, flags=re.S)
    assert 'var(--student)' in text and 'prefers-color-scheme: dark' in text
    for figure in figures:
        assert not re.search(r'(fill|stroke): #(?!fff)', figure)


def test_numbers(run):
    out, path = run
    text = ' '.join(Page(path).text.split())
    for name in ('teacher', 'baseline', 'student'):
        metrics = json.loads((out / name / 'metrics.json').read_text())
        assert f'{metrics["test"]["accuracy"]:.1f} %' in text
        assert f'{metrics["val"]["accuracy"]:.1f} %' in text
    assert r'mmcskd distill photos/ \ --teacher timm:regnety_040 \ --student' in text
    assert 'points above the same student without teacher, and' in text
    assert 'cannot be read as an image' in text and 'Split by itself' in text


def test_model_card(run):
    card = (run[0] / 'README.md').read_text(encoding='utf-8')
    _, front, body = card.split('---\n', 2)
    facts = yaml.safe_load(front)
    assert facts['pipeline_tag'] == 'image-classification' and facts['metrics'] == ['accuracy']
    assert {'license', 'library_name', 'tags'} <= set(facts)
    (result,) = facts['model-index'][0]['results']
    right = json.loads((run[0] / 'student' / 'metrics.json').read_text())['test']['accuracy']
    assert result['metrics'][0]['value'] == pytest.approx(right / 100, abs=1e-4)
    assert '<script>' not in body and '| student, deit-tiny |' in body


def test_the_hub_reads_the_card(run):
    hub = pytest.importorskip('huggingface_hub')
    card = hub.ModelCard.load(run[0] / 'README.md')
    (result,) = card.data.eval_results
    assert (result.task_type, result.metric_type) == ('image-classification', 'accuracy')


def test_a_student_alone(tmp_path):
    out = write_run(tmp_path / 'out', parts=('student',), test=0)
    page = Page(write_report(out))
    assert 'without teacher' not in page.text and 'There is no test split' in page.text
    assert 'places' not in page.ids
    assert ' of val in 6 classes' in ' '.join(page.text.split())


def test_a_folder_that_was_moved(tmp_path):
    """With its pictures elsewhere; the student's config names the teacher where it was."""
    parts = ('teacher', 'student')
    write_run(tmp_path / 'out', parts, test=0, classes=CLASSES[:2]).rename(tmp_path / 'moved')
    assert 'places' not in Page(write_report(tmp_path / 'moved')).ids
    (tmp_path / 'moved' / 'photos').rename(tmp_path / 'photos')
    found = tmp_path / 'moved' / 'data' / 'found.json'
    found.write_text(found.read_text().replace(str(tmp_path / 'out'), str(tmp_path)))
    assert 'places' in Page(write_report(tmp_path / 'moved')).ids


def test_an_unfinished_run(tmp_path):
    with pytest.raises(ValueError, match=r'RUN ".*" holds no data/found\.json: give the OUT'):
        write_report(tmp_path)


def test_models_evaluated_on_different_pictures(tmp_path):
    out = write_run(tmp_path / 'out', test=0)
    other = write_run(tmp_path / 'other', parts=('student',), test=13)
    (out / 'student' / 'predictions.npz').write_bytes(
        (other / 'student' / 'predictions.npz').read_bytes()
    )
    with pytest.raises(
        ValueError, match='teacher and student were evaluated on different pictures'
    ):
        write_report(out)
