"""The package as it is built, of a copy of the checkout."""

import os
import shutil
import subprocess
import sys

from tool_runs import ROOT

NOT_PACKED = ('.*', '__pycache__', 'build', 'data', 'dist', 'site', 'work_dirs', '*.egg-info')


def run(*command, cwd, **environment):
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, check=True, capture_output=True, text=True,
        env=dict(os.environ, **environment),
    ).stdout  # fmt: skip


def checkout(folder, umask=0o022):
    """A copy of the checkout, younger than it, written under an umask."""
    shutil.copytree(
        ROOT, folder, symlinks=True, copy_function=shutil.copyfile,
        ignore=lambda place, names: set(shutil.ignore_patterns(*NOT_PACKED)(place, names))
        - {'.mim', '.dev_scripts'},
    )  # fmt: skip
    for path in folder.rglob('*'):
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() or path.suffix == '.sh' else 0o666) & ~umask)
    return folder


def wheel(source, folder):
    """The wheel that is built of a checkout or an sdist, without a network."""
    run(
        sys.executable, '-m', 'pip', 'wheel', '--quiet', '--disable-pip-version-check', '--no-deps',
        '--no-build-isolation', '--no-index', '--wheel-dir', folder, source, cwd=folder.parent,
    )  # fmt: skip
    (path,) = folder.glob('*.whl')
    return path
