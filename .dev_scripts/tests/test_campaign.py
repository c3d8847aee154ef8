import sys
from collections import Counter

from tool_runs import LABORATORY, load_tool

PASSED = """<testsuites><testsuite><testcase classname="a" name="b" file="c"><properties>
<property name="ran" value="3"/><property name="of others" value="a b"/>
<property name="wrong" value="1"/></properties></testcase>
<testcase classname="a" name="d" file="c"><failure message="e"/></testcase></testsuite></testsuites>
"""


def test_kinds_are_provoked_and_written(tmp_path, monkeypatch):
    """A row a kind; those of other kinds stay, in the order of the kinds."""
    campaign = load_tool('campaign', LABORATORY / 'faults')
    page = tmp_path / 'page.md'
    page.write_text('<!-- campaign -->\nold\n<!-- /campaign -->\n')
    asked = []

    def provoke(kind, quick, environment, python):
        asked.append((kind, quick, environment['MMCSKD_FAULTS_FUZZ'], python))
        configs = Counter({'ran': 7, 'refused by the key': 40, 'wrong': 3})
        return Counter(passed=3, failed=1), configs if 'key' in kind else Counter()

    monkeypatch.setattr(campaign, 'provoke', provoke)
    monkeypatch.setattr(campaign, 'revision', lambda: 'abc')
    monkeypatch.setenv('MMCSKD_FAULTS_SEED', '5')
    shared = ['--quick', '--mutations', '50', '--page', str(page), '--dense-python', 'dense']
    campaign.main([*shared, '--kinds', 'long runs'])
    campaign.main([*shared, '--kinds', campaign.DENSE])
    assert asked == [
        ('long runs', True, '50', sys.executable),
        (campaign.DENSE, True, '50', 'dense'),
    ]
    assert page.read_text().splitlines()[2:7] == [
        '| kind | tried | held | did not | of the wrong configs | at revision | seed |',
        '|---|---|---|---|---|---|---|',
        f'| {campaign.DENSE} | 50 | 47 | 3 | 7 ran, 40 refused by the key, 3 wrong | abc | 5 |',
        '| long runs | 4 | 3 | 1 |  | abc | 5 |',
        '',
    ]


def test_what_a_report_says_is_counted(monkeypatch):
    campaign = load_tool('campaign', LABORATORY / 'faults')

    def run(command, **options):
        (report,) = (part.split('=')[1] for part in command if part.startswith('--junitxml'))
        with open(report, 'w') as file:
            file.write(PASSED)

    monkeypatch.setattr(campaign.subprocess, 'run', run)
    assert campaign.provoke('long runs', False, {}) == (
        Counter(passed=1, failed=1),
        Counter(ran=3, wrong=1),
    )


def test_the_files_of_each_kind_are_there():
    campaign = load_tool('campaign', LABORATORY / 'faults')
    for kind in campaign.KINDS:
        assert all((campaign.ROOT / file).is_file() for file in campaign.files(kind))
