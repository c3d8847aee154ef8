"""The report as a browser shows it: on a telephone and a wide screen, light and dark."""

import contextlib
import shutil

import pytest
from made_up_run import CLASSES, write_run

from mmcskd.app.report import write_report

pytestmark = pytest.mark.slow
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
# What reaches beyond the page, apart from tables that scroll by themselves.
OVERFLOW = """
[...document.querySelectorAll('main *')].filter(each =>
  each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll'))
  .map(each => each.outerHTML.slice(0, 200))
"""
IMAGES = '[...document.images].map(image => image.complete && image.naturalWidth > 0)'
# Text in figures: beside the figure, or on top of other text of it.
TEXTS = """
[...document.querySelectorAll('figure > svg')].flatMap(figure => {
  const boxes = [...figure.querySelectorAll('text')]
    .map(text => [text, text.getBoundingClientRect()]);
  const all = figure.getBoundingClientRect();
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  return boxes.filter(([text, box], i) => box.left < all.left - 2 || box.right > all.right + 2
    || boxes.slice(i + 1).some(([, other]) => over(box, other))).map(([text]) => text.textContent);
})
"""


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f'none of {", ".join(BROWSERS)} is installed')
    with playwright.sync_playwright() as player:
        yield player.chromium.launch(executable_path=path, args=['--no-sandbox'])


@contextlib.contextmanager
def shown(browser, path, **options):
    """The page, in which whatever the browser complains about fails the test."""
    page = browser.new_page(**options)
    complaints = []
    page.on('console', lambda message: complaints.append(message.text))
    page.on('pageerror', lambda error: complaints.append(str(error)))
    page.on('request', lambda request: complaints.append(request.url))
    page.goto(f'file://{path}')
    yield page
    page.close()
    assert [each for each in complaints if not each.startswith(('file:', 'data:'))] == []


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    long = 'a name without a space '.replace(' ', '_') * 4
    folder = tmp_path_factory.mktemp('run')
    return write_report(write_run(folder / 'out', classes=[*CLASSES, long]))


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [360, 1400])
def test_report(browser, report, width, scheme):
    viewport = dict(width=width, height=900)
    with shown(browser, report, viewport=viewport, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate('document.documentElement.scrollWidth') == width
        assert page.evaluate(OVERFLOW) == []
        images = page.evaluate(IMAGES)
        assert len(images) == 24 and all(images)
        assert page.evaluate(TEXTS) == []
        colors = page.evaluate(
            "['body', 'figure > svg text'].map(each => "
            'getComputedStyle(document.querySelector(each)))'
            '.map((style, i) => i ? style.fill : style.backgroundColor)'
        )
        ground, ink = (sum(map(int, each.strip('rgb()').split(','))) for each in colors)
        assert (ground > ink) == (scheme == 'light') and abs(ground - ink) > 250
