"""The demo's tool: a stage of other code is not taken for this one's, and it stops as a whole."""

import shutil
import subprocess
import sys

import pytest
from tool_runs import DEMO, ROOT, TOOLS, environment, load_tool


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


@pytest.mark.slow
def test_a_demo_that_is_stopped_stops_its_run():
    """Which ends as it does by itself, with code 0: no later stage may begin."""
    run = "trap 'echo stopped; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    demo = subprocess.Popen(
        [sys.executable, '-c', f'import demo; demo.run("bash", "-c", {run!r}); print("went on")'],
        env=environment(DEMO),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while demo.stdout.readline() != 'begun\n':
        assert demo.poll() is None
    demo.terminate()
    out, err = demo.communicate(timeout=60)
    assert out == 'stopped\n' and demo.returncode == 1
    assert 'bash was stopped or failed; the same command goes on from there.' in err
