"""The demo's tool: a stage that was trained by other code is not taken for this one's."""

import shutil

from tool_runs import DEMO, ROOT, TOOLS, load_tool


def test_any_change_of_the_package_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    demo = load_tool('demo', DEMO)
    shutil.copytree(ROOT / 'mmcskd', tmp_path / 'mmcskd', ignore=shutil.ignore_patterns('.mim'))
    monkeypatch.setattr(demo, 'ROOT', tmp_path)
    config = ROOT / 'configs' / 'demo' / 'none_vit.py'
    first = demo.fingerprint(config, '')
    assert demo.fingerprint(config, '') == first != demo.fingerprint(config, 'a teacher')
    for source in ('losses/cskd_loss.py', '__init__.py'):
        before = demo.fingerprint(config, '')
        with (tmp_path / 'mmcskd' / source).open('a') as file:
            file.write('# changed\n')
        assert demo.fingerprint(config, '') != before
