"""Each tool says what it does, and does nothing else, when it is asked with --help."""

import subprocess

import pytest
from tool_runs import TOOLS, load_tool


@pytest.mark.parametrize('name', sorted(path.stem for path in TOOLS.glob('*.py')))
def test_python(name, capsys):
    with pytest.raises(SystemExit) as ended:
        load_tool(name).main(['--help'])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith('usage: ')


@pytest.mark.parametrize(
    'path', sorted(set(TOOLS.glob('*.sh')) - {TOOLS / 'launch.sh'}), ids=lambda path: path.stem
)
def test_shell(path, tmp_path):
    """A copy, in a folder of which it could make nothing."""
    copy = tmp_path / 'tools' / path.name
    copy.parent.mkdir()
    copy.write_text(path.read_text())
    done = subprocess.run(
        ['bash', copy, '--help'],
        capture_output=True,
        text=True,
        timeout=30,
        env=dict(PATH='/usr/bin:/bin'),
    )
    assert done.returncode == 0, done.stderr
    header = path.read_text().split('\nset -e')[0].splitlines()[1:]
    assert done.stdout.splitlines() == [line.removeprefix('#').removeprefix(' ') for line in header]
    assert [each.name for each in tmp_path.rglob('*')] == ['tools', path.name]
