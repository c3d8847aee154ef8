from tool_runs import LABORATORY, load_tool


def test_a_kind_is_provoked_and_written(tmp_path, capsys, monkeypatch):
    campaign = load_tool('campaign', LABORATORY / 'faults')
    page = tmp_path / 'page.md'
    page.write_text('<!-- campaign -->\nold\n<!-- /campaign -->\n')
    asked = []

    def provoke(kind, quick, environment):
        asked.append((kind, quick, environment['MMCSKD_FAULTS_FUZZ']))
        return dict(passed=3, failed=1)

    monkeypatch.setattr(campaign, 'provoke', provoke)
    campaign.main(['--quick', '--kinds', 'long runs', '--mutations', '50', '--page', str(page)])
    assert asked == [('long runs', True, '50')]
    text = page.read_text()
    assert '| long runs | 4 | 3 | 1 |' in text and 'MMCSKD_FAULTS_SEED=' in text
    assert 'old' not in text


def test_the_files_of_each_kind_are_there():
    campaign = load_tool('campaign', LABORATORY / 'faults')
    for names in campaign.KINDS.values():
        for name in names:
            assert (campaign.ROOT / campaign.FAULTS.format(name)).is_file()
