"""The documentation as a site: complete, and without anything from elsewhere."""

import html
import inspect
import json
import re
import shutil
import subprocess
import sys

import pytest
from tool_runs import ROOT

import mmcskd

pytestmark = pytest.mark.slow
DOCS = ('.dev_scripts/docs/repository_links.py', '.dev_scripts/docs/roles.py')


def build(root, site):
    return subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', site],
        cwd=root,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp('docs') / 'site'
    done = build(ROOT, site)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_every_page_and_nothing_from_elsewhere(site):
    pages = {
        path.relative_to(ROOT / 'docs').with_suffix('.html') for path in ROOT.glob('docs/**/*.md')
    }
    written = {path.relative_to(site) for path in site.rglob('*.html')}
    assert {page.parent / page.name.replace('README', 'index') for page in pages} <= written
    for path in site.rglob('*.html'):
        fetched = re.findall(
            r'<(?:script|link|img|iframe)[^>]* (?:src|href)="?(\w+:)?//', path.read_text()
        )
        assert not fetched, path
        assert 'class="mermaid"' not in path.read_text(), 'the theme would fetch mermaid'


def test_reference_has_all_that_the_package_offers(site):
    text = (site / 'api' / 'components.html').read_text()
    missing = {name for name in mmcskd.__all__ if f'id="mmcskd.{name}"' not in text}
    assert missing == {'__version__'}
    words = html.unescape(re.sub('<[^>]*>', '', text))
    assert inspect.getdoc(mmcskd.CSKDLoss).splitlines()[0] in words
    assert re.search(r'href="#mmcskd.CKFHook"><code>CKFHook</code></a>', text)
    assert not re.search(r':\w+:`', words)
    assert 'id="mmcskd.method.fuse"' in (site / 'api' / 'method.html').read_text()


def test_search_finds_pages_and_docstrings(site):
    index = json.loads((site / 'search' / 'search_index.json').read_text())
    places = {entry['location'] for entry in index['docs']}
    assert 'api/components.html#mmcskd.CSKDLoss' in places and 'quick_start.html' in places
    # Of the package's files its one page alone, no source.
    found = {place.split('#')[0] for place in places if place.startswith('repository/mmcskd')}
    assert found == {'repository/mmcskd/runs/index.html'}


@pytest.fixture
def small(tmp_path):
    """A project of two pages, one of which ends with what it is given."""
    for name in ('mkdocs.yml', *DOCS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    config = (tmp_path / 'mkdocs.yml').read_text()
    nav = re.sub(r'^nav:.*', 'nav: [README.md, own.md]', config, flags=re.M | re.S)
    (tmp_path / 'mkdocs.yml').write_text(nav)
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'README.md').write_text('# Documentation\n')

    def built(text):
        (tmp_path / 'docs' / 'own.md').write_text(f'# Own\n\n{text}\n')
        return build(tmp_path, tmp_path / 'site')

    return built


def test_links_out_of_the_folder(small, tmp_path):
    """They are followed on GitHub; here to pages of their own, and those link back."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'one.py').write_text('print("[no](link)")\n')
    (tmp_path / 'README.md').write_text('# Mine\n\n[own](docs/own.md#own) [tools](tools)\n')
    done = small('[one](../tools/one.py) [all](../README.md#mine)\n\n```\n[no](../link.md)\n```')
    assert done.returncode == 0, done.stdout + done.stderr
    own = (tmp_path / 'site' / 'own.html').read_text()
    assert 'href="repository/tools/one.py.html"' in own
    assert 'href="repository/index.html#mine"' in own
    assert '[no](../link.md)' in own
    assert 'link' in (tmp_path / 'site' / 'repository' / 'tools' / 'one.py.html').read_text()
    readme = (tmp_path / 'site' / 'repository' / 'index.html').read_text()
    assert 'href="../own.html#own"' in readme and 'href="tools.html"' in readme
    assert '<code>one.py</code>' in (tmp_path / 'site' / 'repository' / 'tools.html').read_text()


@pytest.mark.parametrize(
    'link, message',
    [
        ('../mmcskd/gone.py', 'own.md: no "../mmcskd/gone.py" to link to'),
        ('gone.md', "'gone.md'"),
        ('README.md#gone', "'#gone'"),
    ],
)
def test_a_broken_link_is_an_error(link, message, small):
    done = small(f'[a link]({link})')
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
